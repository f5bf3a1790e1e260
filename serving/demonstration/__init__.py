"""The page of `serving/app.py`: images sent over gRPC, amenities listed, versions compared."""
