"""What `serving/app.py` shows in a browser: pictures asked about over gRPC, amenities listed, versions compared."""
