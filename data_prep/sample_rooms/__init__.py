"""Small furnished rooms, built in metres, lit, photographed by a pinhole camera and written as Open Images is.

The room's axes: x to the right, y away from the camera towards the back wall, z up, in metres; the floor is z = 0.
"""
