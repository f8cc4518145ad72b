"""Autoscaling controllers as step functions: state and observation in, state and decision with its reason out."""
