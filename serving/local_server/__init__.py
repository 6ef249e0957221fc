"""`gim serve`: TF Serving's two interfaces on one model, for development."""

from serving.local_server.running import Addresses as Addresses
from serving.local_server.running import Limits as Limits
from serving.local_server.running import serve as serve
