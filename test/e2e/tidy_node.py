"""pixelrefer_node that, on SIGUSR1, gives back all memory it does not use; what it then holds is what it keeps.

An allocator keeps what was freed for the next request, more of it the longer a process runs, up to what it ever used at
once: noise of tens of megabytes, in which a leak hides both ways.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading

from pixelrefer_ros.free_memory import give_back_memory

GIVEN_BACK = 'memory was given back'


def _give_back() -> None:
    while True:
        signal.sigwait({signal.SIGUSR1})
        gc.collect()
        give_back_memory()
        print(GIVEN_BACK, flush=True)


if __name__ == '__main__':
    # Before any other thread starts: they inherit it, so that the signal comes to the one that waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    threading.Thread(target=_give_back, daemon=True).start()
    from pixelrefer_ros.pixelrefer_node import main

    sys.exit(main())
