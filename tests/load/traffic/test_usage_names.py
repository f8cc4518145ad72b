"""Utilisation: names decide between per cent and fractions, and between how busy a fleet was and anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from farthing.errors import TraceError
from farthing.load.traffic.usage import read_usage, usage_frac


def written(folder: Path, header: str, values: tuple[str, ...]) -> Path:
    path = folder / "u.csv"
    rows = [f"2026-11-02T0{k}:00:00Z,{value}" for k, value in enumerate(values)]
    path.write_text("\n".join([f"timestamp,{header}", *rows]) + "\n")
    return path


LITTLE = ("0.4", "0.5", "0.6")
IDLE = ("0.4", "0.5", "2.1")
BUSY = ("40", "50", "60")


@pytest.mark.parametrize(
    ("header", "values", "frac"),
    [
        ("CPUUtilization", LITTLE, 0.005), ("cpu_percent", IDLE, 0.01), ("Percentage CPU", LITTLE, 0.005),
        ("cpu %", IDLE, 0.01), ("cpu_pct", IDLE, 0.01), ("system.cpu.user{service:intents}", LITTLE, 0.005),
        ("DCGM_FI_DEV_GPU_UTIL", LITTLE, 0.005), ("AWS/EC2 CPUUtilization (Average)", LITTLE, 0.005),
        ("% Processor Time", LITTLE, 0.005), ("CPUUtilization", ("0.4", "1.0", "1.6"), 0.01),
        ("cpu_fraction", LITTLE, 0.5), ("busy_ratio", LITTLE, 0.5), ("utilisation", LITTLE, 0.5), ("cpu", LITTLE, 0.5),
        ("instance/cpu/utilization", LITTLE, 0.5), ("cpu_percent", ("0.4%", "0.5", "0.6"), 0.005),
        ("cpu", ("40", "50", "60"), 0.5), ("value", ("0.5", "0.5", "20"), 0.07), ("web-1", ("40", "50", "60"), 0.5),
        ("cpu_limit_utilization", LITTLE, 0.5), ("cpu_avg_5min", ("40", "50", "60"), 0.5),
        ("gpu_util", ("40", "50", "60"), 0.5), ("cpu_load", ("40", "50", "60"), 0.5), ("cpu_time_percent", IDLE, 0.01),
        ("not idle", ("40", "50", "60"), 0.5), ("100 - cpu_idle", LITTLE, 0.005), ("1 - idle", LITTLE, 0.5),
        ('"100 - (avg(rate(node_cpu_seconds_total{mode=""idle""}[5m])) * 100)"', LITTLE, 0.005),
        ('"avg(rate(container_cpu_usage_seconds_total{pod=~""intents.*""}[5m])) / 2"', LITTLE, 0.5),
        ('"sum(rate(node_cpu_seconds_total{mode!=""idle""}[5m])) / count(node_cpu)"', LITTLE, 0.5),
        ("100 * cpu_usage", LITTLE, 0.005), ("(1 - idle) * 100", LITTLE, 0.005), ("avg(1 - idle)", LITTLE, 0.5),
        ("cpu per cent", IDLE, 0.01), ("Auslastung in %", IDLE, 0.01),
    ],
)  # fmt: skip
def test_the_name_decides(tmp_path: Path, header: str, values: tuple[str, ...], frac: float) -> None:
    assert usage_frac(read_usage(written(tmp_path, header, values))) == pytest.approx(frac)


@pytest.mark.parametrize("header", ["cpu", "utilisation", "value", "busy"])
@pytest.mark.parametrize("values", [("0.4", "0.9", "1.02"), ("0.9", "1.3", "1.8"), ("0.5", "0.6", "3.5")])
def test_a_little_above_1_is_asked_back(tmp_path: Path, header: str, values: tuple[str, ...]) -> None:
    with pytest.raises(TraceError, match=rf"row 3 of the data: the highest value is {values[-1]}, which may be") as e:
        read_usage(written(tmp_path, header, values))
    assert "cpu_percent" in str(e.value.hint)


GPU_LABELS = 'gpu=""0"",UUID=""GPU-1"",pci_bus_id=""00000000:1B:00.0"",Hostname=""node-1"",DCGM_FI_DRIVER_VERSION=""535"",id=""3""'


@pytest.mark.parametrize(
    "header",
    [
        f'"DCGM_FI_DEV_GPU_UTIL{{{GPU_LABELS}}}"',
        '"rate(container_cpu_usage_seconds_total{id=""/kubepods/burstable"",image=""id"",pod=""memory-1""}[5m])"',
        '"{instance=""node-0:9400"", job=""disk""}"', '"cpu{pod=~""a{2}.*"",container!=""requests""}"',
        "system.cpu.user{service:requests,host:nodes}", '"node_cpu{mode=""user""}"', '"cpu{mode!~""idle|iowait""}"',
        "CPU utilization (all instances)", "cpu mean over pods", "cpu_percent (8 cores)", "cpu usage (2 vCPUs)",
        "kubernetes.io/container/cpu/request_utilization", "CPU usage of all nodes", "avg cpu across hosts",
        "cpu_utilization_by_instance_id", "CPU % (num pods 3)", "vcpu_utilization", "gpu busy, mean of 4 replicas",
        "mean CPU by pods", "core utilization", "cpu usage per core", "cpu_usage / request",
        "CPU Requests %", "100 * avg(1 - rate(node_cpu_seconds_total{mode=""idle""}[5m]))",
        "(1 - avg(rate(node_cpu_seconds_total{mode=""idle""}[5m]))) * 100",
        "sum(rate(container_cpu_usage_seconds_total[5m])) / sum(kube_pod_container_resource_requests{resource=""cpu""})",
        "100 * sum(rate(container_cpu_usage_seconds_total[5m])) / sum(machine_cpu_cores)",
        "rate(windows_cpu_time_total{mode!=""idle""}[5m])",
    ],
)  # fmt: skip
def test_what_it_is_of_does_not_hide_a_utilisation(tmp_path: Path, header: str) -> None:
    quoted = header if header.startswith('"') else f'"{header}"'
    assert usage_frac(read_usage(written(tmp_path, quoted, BUSY))) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "header", ["CPU %", "cpu_percent", "gpu_pct", "cpu per cent", "% busy", '"cpu_percent{pod=""a""}"']
)
def test_per_cent_by_name_that_may_be_fractions_is_asked_back(tmp_path: Path, header: str) -> None:
    """Grafana's unit *percent (0.0-1.0)* exports 0.38 under ``CPU %``."""
    with pytest.raises(TraceError, match=r"says per cent, but no value is above 1; the highest, 0\.41, .* 41%") as e:
        read_usage(written(tmp_path, header, ("0.38", "0.41", "0")))
    assert e.value.hint == "name the column cpu_fraction, or write each value with its sign: 0.41%"
    assert usage_frac(read_usage(written(tmp_path, header, ("0.38%", "0.42%", "0%")))) == pytest.approx(0.8 / 300)
    assert usage_frac(read_usage(written(tmp_path, "cpu_fraction", ("0.38", "0.42", "0")))) == pytest.approx(0.8 / 3)


@pytest.mark.parametrize("header", ["cpu_share", "busy_ratio", "cpu fraction", "gpu_proportion"])
def test_per_cent_under_a_fraction_s_name_is_told_from_a_sum(tmp_path: Path, header: str) -> None:
    with pytest.raises(TraceError, match=r"'41'; it must lie in \[0, 1\], as a fraction") as e:
        read_usage(written(tmp_path, header, ("41", "38", "45")))
    assert e.value.hint == (
        "name the column cpu_percent if it is in per cent; else of one replica on average, not summed over replicas"
    )
    assert usage_frac(read_usage(written(tmp_path, "cpu_percent", ("41", "38", "45")))) == pytest.approx(0.41, abs=0.01)


def test_fractions_that_were_named_have_their_own_limit(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"row 2 of the data: the utilisation is '1\.02'; it must lie in \[0, 1\]"):
        read_usage(written(tmp_path, "cpu_ratio", ("0.5", "1.02", "0.9")))


def test_per_cent_signs_stand_everywhere_or_nowhere(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"row 3 of the data: '0\.4' after '41%'"):
        read_usage(written(tmp_path, "cpu", ("40%", "41%", "0.4")))


@pytest.mark.parametrize(
    "header",
    [
        "cpu_idle",
        '"rate(node_cpu_seconds_total{mode=""idle""}[5m])"',
        '"system.cpu.utilization{state=""idle"",cpu=""cpu0""}"',
        '"system.cpu{host:a,mode:idle}"',
        "system.cpu.idle",
        "% Idle Time",
        "available_cpu",
        "CPU free",
    ],
)
def test_what_idled_is_not_what_was_busy(tmp_path: Path, header: str) -> None:
    with pytest.raises(TraceError, match="says how idle the fleet was, not how busy") as e:
        read_usage(written(tmp_path, header, ("60", "70", "80")))
    assert e.value.hint == "write 100 − it, in a column named cpu_percent"


@pytest.mark.parametrize(
    "header",
    [
        "requests", "memory_percent", "MemoryUtilization", "mem_used_percent", "gpu_memory_utilization", "RequestCount",
        "latency", "DiskReadBytes", "disk_percent", "NetworkIn", "network", "load average", "load1", "iowait",
        "cpu_steal", "Maximum", "cpu_max", "p95", "cpu_cores", "CPUReservation", "swap_percent", "queue_length",
        "utilization.memory [%]", "rps", "CPUCreditBalance", "DiskUtilization", "cpu_limit",
        "cpu_core", "cpu_count", "cpu_request", "cpu usage (cores)", "avg pods", "mean number of instances", "avg cpu count",
        "memory utilization (all instances)", "max cpu utilization over pods", "disk_percent of 3 nodes", "hosts",
        '"container_memory_usage{id=""/kubepods/cpu""}"', '"{__name__=""node_memory_percent"",job=""cpu""}"', "pods per node",
        "request", "id", "gpu_instance_id", "avg cpu per request", "cpu requests", "cpu usage per 1000 requests",
        '"kube_pod_container_resource_requests{resource=""cpu""}"', "machine_cpu_cores",
    ],
)  # fmt: skip
def test_other_things_are_refused_by_name(tmp_path: Path, header: str) -> None:
    with pytest.raises(TraceError, match="is of something else"):
        read_usage(written(tmp_path, header, ("40", "50", "60")))


def test_the_utilisation_beside_other_things_is_found(tmp_path: Path) -> None:
    path = tmp_path / "u.csv"
    path.write_text(
        "time,mem_percent,cpu_idle,Maximum,cpu_percent\n2026-11-02T00:00,90,60,99,40\n2026-11-02T01:00,90,40,99,60\n"
    )
    usage = read_usage(path)
    assert usage_frac(usage) == pytest.approx(0.5)
    assert usage.read_as == "per cent in “cpu_percent”"


def test_several_hosts_are_to_be_averaged(tmp_path: Path) -> None:
    path = tmp_path / "u.csv"
    path.write_text("time,host,cpu_percent\n" + "".join(f"2026-11-02T0{k}:00,{h},40\n" for k in range(3) for h in "ab"))
    with pytest.raises(TraceError, match=r"row 2 of the data: .* does not come after") as e:
        read_usage(path)
    assert e.value.hint == "one row a step, the mean over all replicas"
