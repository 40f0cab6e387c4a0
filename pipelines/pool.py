"""The pool: worker processes that an engine asks for, on this machine or for others.

Beam's own pool starts each worker by importing everything anew, or runs them as threads of one
process. This one forks them, in milliseconds, from a process that has imported what they need; each
is a process of its own, single-threaded, that does one part at a time.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import grpc
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor
from apache_beam.utils import thread_pool_executor
from google.protobuf import json_format, text_format

from pipelines import engines, forkserver, worker
from pipelines.records import RealEarError

PATIENCE = 30.0  # seconds that an engine may take to say what a worker is for
_LISTENING = [
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),  # else two pools would share a port, and its workers, in silence
]
_LOG = logging.getLogger(__name__)


class Pool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Workers by the engine's names for them, each a process in this environment."""

    def __init__(self, log: IO[bytes] | None) -> None:
        self._log = log
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 (Beam's name)
        """Start a worker that will answer to the engine's endpoints."""
        del context
        try:
            self._end(request.worker_id)  # an engine that tries again means the place, not the past
            environment = engines.environment()  # as it is now: --timeout looks by it
            command = forkserver.command(environment, ["pipelines.inference", "torch"])
            environment |= _asked(request)
            with self._lock:
                self._workers[request.worker_id] = subprocess.Popen(
                    command, shell=True, env=environment,
                    stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                )  # fmt: skip
            _LOG.info("worker %s", request.worker_id)
            return beam_fn_api_pb2.StartWorkerResponse()
        except Exception:
            return beam_fn_api_pb2.StartWorkerResponse(error=traceback.format_exc())

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 (Beam's name)
        """End a worker: its engine is done with it."""
        del context
        self._end(request.worker_id)
        return beam_fn_api_pb2.StopWorkerResponse()

    def close(self) -> None:
        """End all workers."""
        for name in list(self._workers):
            self._end(name)

    def _end(self, name: str) -> None:
        with self._lock:
            ended = self._workers.pop(name, None)
        if ended is not None:
            ended.kill()  # whatever it writes is published whole or not at all
            ended.wait()


def _asked(request: Any) -> dict[str, str]:
    """What Beam's harness reads from its environment."""

    def endpoint(found: Any) -> str:
        return str(text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=found.url)))

    return {
        "WORKER_ID": request.worker_id,
        "CONTROL_API_SERVICE_DESCRIPTOR": endpoint(request.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": endpoint(request.logging_endpoint),
        "PIPELINE_OPTIONS": _options(request),
    }


def _options(request: Any) -> str:
    """The pipeline's options as JSON, which its filesystems need; the engine tells them."""
    if not request.provision_endpoint.url:
        return json.dumps({})
    channel = grpc.insecure_channel(request.provision_endpoint.url)
    named = grpc.intercept_channel(channel, WorkerIdInterceptor(request.worker_id))
    with channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(named)
        asked = beam_provision_api_pb2.GetProvisionInfoRequest()
        told = service.GetProvisionInfo(asked, timeout=PATIENCE)
    return str(json_format.MessageToJson(told.info.pipeline_options))


class Served:
    """A pool that listens; `address` is what the engine is told, `log` what workers write to."""

    def __init__(self, host: str, port: int, log: IO[bytes] | None = None) -> None:
        forkserver.start(engines.environment())  # here: it ends with the thread that starts it
        self.pool = Pool(log)
        executor = thread_pool_executor.shared_unbounded_instance()
        self._server = grpc.server(executor, options=_LISTENING)
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(self.pool, self._server)
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise RealEarError(
                f"no worker pool can listen at {host}:{port}: is another one there? say --port"
            ) from error
        self.address = f"{host}:{self.port}"
        self._server.start()

    def wait(self) -> None:
        """Serve until this process is told to stop."""
        self._server.wait_for_termination()

    def close(self) -> None:
        """Stop listening and end all workers."""
        self._server.stop(None)
        self.pool.close()


@contextmanager
def serving(host: str, port: int) -> Iterator[Served]:
    """A pool until the block, or this process, ends: by Ctrl-C calmly, its workers with it."""
    signal.signal(signal.SIGTERM, worker.interrupted)
    served = Served(host, port)
    try:
        with suppress(KeyboardInterrupt):
            yield served
    finally:
        served.close()


class _Ours:
    """This process's own pool, for engines on this machine."""

    served: Served | None = None
    process = 0


def here() -> str:
    """The address of a pool inside this process, which ends with it."""
    if _Ours.served is None or _Ours.process != os.getpid():
        # What a worker raises comes back by the engine, and is told then.
        log = tempfile.TemporaryFile(prefix="realear-workers-")  # noqa: SIM115 (as long as we)
        _Ours.served, _Ours.process = Served("127.0.0.1", 0, log), os.getpid()
    return _Ours.served.address
