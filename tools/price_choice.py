"""Which instances the packaged snapshot holds: those people serve models on, not everything that can be rented."""

from __future__ import annotations

AWS_FAMILIES = {
    **dict.fromkeys(
        (
            "m7i",
            "m7a",
            "m7g",
            "m6i",
            "m8i",
            "m8a",
            "m8g",
            "c7i",
            "c7a",
            "c7g",
            "c6i",
            "c8i",
            "c8a",
            "c8g",
            "r7i",
            "r6i",
        ),
        "large xlarge 2xlarge 4xlarge 8xlarge",
    ),
    "m6g": "large xlarge 2xlarge",
    "m7i-flex": "large xlarge 2xlarge",
    "t3": "medium large xlarge 2xlarge",
    "g4dn": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge",
    "g5": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 48xlarge",
    "g6": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 48xlarge",
    "g6e": "xlarge 2xlarge 12xlarge 48xlarge",
    "inf2": "xlarge 8xlarge 24xlarge 48xlarge",
    "p4d": "24xlarge",
    "p5": "4xlarge 48xlarge",
    "p5en": "48xlarge",
}
AWS_LARGE = {
    f"{family}.{size}" for family in ("m7i", "c7i") for size in ("12xlarge", "16xlarge", "24xlarge", "48xlarge")
}
AZURE_SERIES = (
    *("Ds_v5", "Das_v5", "Ds_v6", "Das_v6", "Dps_v5", "Dps_v6"),
    *("Es_v5", "Eas_v5", "Es_v6", "Eas_v6", "Fs_v2", "Fas_v6", "Fals_v6"),
)
AZURE_REGIONS = ("eastus", "westeurope", "westus2")
AZURE_VCPUS = (2, 4, 8, 16, 32)
AZURE_GPU = {
    "NC4as_T4_v3": "t4",
    "NC8as_T4_v3": "t4",
    "NC16as_T4_v3": "t4",
    "NC64as_T4_v3": "t4",
    "NC24ads_A100_v4": "a100",
    "NC48ads_A100_v4": "a100",
    "NC96ads_A100_v4": "a100",
    "NC40ads_H100_v5": "h100",
    "NC80adis_H100_v5": "h100",
    "NV36ads_A10_v5": "a10",
    "NV72ads_A10_v5": "a10",
    "ND96isr_H100_v5": "h100",
    "ND96amsr_A100_v4": "a100",
}
GCP_REGIONS = ("us-central1", "europe-west4")
GCP_TYPES = [
    *(f"{f}-standard-{n}" for f in ("n2", "n2d", "e2", "t2d") for n in (2, 4, 8, 16, 32)),
    *(f"{f}-{kind}-{n}" for f in ("n2", "n2d") for kind in ("highcpu", "highmem") for n in (4, 8, 16)),
    *(f"c2-standard-{n}" for n in (4, 8, 16, 30)),
    *(f"c3-standard-{n}" for n in (4, 8, 22, 44)),
    *(f"c3-highcpu-{n}" for n in (4, 8, 22)),
    *(f"c3d-standard-{n}" for n in (4, 8, 16, 30)),
    *(f"{f}-standard-{n}" for f in ("c4", "c4a", "n4") for n in (2, 4, 8, 16, 32)),
    *(f"g2-standard-{n}" for n in (4, 8, 12, 16, 24, 48, 96)),
    *(f"a2-highgpu-{n}g" for n in (1, 2, 4, 8)),
    "a2-ultragpu-1g",
    *(f"a3-highgpu-{n}g" for n in (1, 2, 4, 8)),
]
GCP_CHIPS = {"a100": 40.0, "a100-80gb": 80.0, "l4": 24.0, "h100-80gb": 80.0, "t4": 16.0}
