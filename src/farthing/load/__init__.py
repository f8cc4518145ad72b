"""DOOR IN: files and configuration become nouns, validated here."""
