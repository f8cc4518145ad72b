"""The run journal, artefacts and tables: the only room that writes Parquet and speaks DuckDB."""
