"""Malformed requests, well-formed oddities and a fuzzer for any server of the Open Inference Protocol v2 over HTTP.

``python -m farthing.conformance http://host:port --model NAME`` runs them against a server by its address.
"""
