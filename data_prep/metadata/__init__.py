"""Open Images' CSVs: read by column name, checked row by row, and chosen from."""
