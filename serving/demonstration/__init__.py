"""What `serving/app.py` shows in a browser: images asked about over gRPC, amenities listed, versions compared."""
