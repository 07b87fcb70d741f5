"""TensorZero's gateway as its wheel carries it, in the foreground; the port, which it chooses itself, is written down.

python benchmarks/tensorzero_served.py SETTINGS FILE (by the Python of the environment that has the wheel)
"""

import sys
import threading
from pathlib import Path

from tensorzero.tensorzero import _start_http_gateway

if __name__ == "__main__":
    served = _start_http_gateway(
        config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
    )
    Path(sys.argv[2]).write_text(served.base_url.split(":")[2].split("/")[0])
    threading.Event().wait()
