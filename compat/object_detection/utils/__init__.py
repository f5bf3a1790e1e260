"""The API's module of this name: what notebooks call to read configs and label maps, write records and draw."""
