"""What a chapter calls, and behind it what runs the book, prints it and serves it to a reader."""
import sys

# nbformat brings jsonschema, and that reads a grammar of addresses which nothing here asks for: seconds of every start
sys.modules.setdefault("rfc3987_syntax", None)
