"""TensorFlow Lite models of an SSD: conversion, metadata, and the check against the checkpoint."""
