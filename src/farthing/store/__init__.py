"""The run journal, artefacts and tables: the only room that speaks Parquet and DuckDB."""
