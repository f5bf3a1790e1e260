"""The page of `serving/app.py`: images asked about over gRPC, amenities listed, versions compared."""
