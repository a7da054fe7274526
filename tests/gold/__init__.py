"""The gold set of the counterfactual engine: cases, reader, draw; see README.md."""
