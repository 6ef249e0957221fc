"""What training would cost on machines that are not there: `gim plan`.

Pure Python: closed forms for three ways to use many workers, and a simulation
of events for the decoupled one. Nothing here is measured.
"""
