"""Export of points or records to other tools' annotation formats."""
