"""Object stores: Beam's filesystems, asked in a way that tells what is wrong within seconds.

`s3://` needs the extra `s3`; who asks and where comes from boto3's own places (AWS_ACCESS_KEY_ID,
AWS_PROFILE, AWS_ENDPOINT_URL…) or from Beam's options (`--s3_endpoint_url`…). `gs://` and `hdfs://`
go through Beam as they are.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

from pipelines.records import RealEarError

ATTEMPTS = 5  # of a request that a server refuses for the moment
CONNECT = 10.0  # seconds to reach a server
LAG = 10.0  # seconds until what was written must be seen
PAUSE = 0.2  # seconds before the first further look, doubled each time


class Unreachable(RealEarError):
    """A store cannot be asked: no such place, no right, no answer, or a package is missing."""


class _Options:
    """Beam's own arguments that were given on the command line."""

    arguments: tuple[str, ...] = ()


def configure(arguments: Sequence[str]) -> None:
    """Keep Beam's arguments: its filesystems read them, too."""
    _Options.arguments = tuple(arguments)


def filesystems(path: str) -> Any:
    """Beam's FileSystems, ready for a path; Unreachable where its store cannot be asked."""
    from apache_beam.io.filesystems import FileSystems  # 2 s to import, so only for URLs
    from apache_beam.options.pipeline_options import PipelineOptions

    if FileSystems._pipeline_options is None:  # a pipeline sets them, but we look before
        FileSystems.set_options(PipelineOptions(list(_Options.arguments)))
    if path.startswith("s3://"):
        _share_connections()
        _probe(path.split("/")[2], _Options.arguments)
    return FileSystems


@cache
def _share_connections() -> None:
    """Beam 2.77 makes a session and a client for every question, 0.2 s each: keep one."""
    if importlib.util.find_spec("boto3") is None:
        raise Unreachable("s3:// needs the package boto3: pip install 'realear[s3]'")
    import boto3
    from apache_beam.io.aws.clients.s3 import boto3_client
    from botocore.config import Config

    retries: Any = {"mode": "standard", "max_attempts": ATTEMPTS}
    config = Config(retries=retries, connect_timeout=CONNECT)

    @lru_cache(maxsize=4)
    def client(**given: Any) -> Any:
        return boto3.session.Session().client(config=config, **given)

    shared = SimpleNamespace(client=client)
    vars(boto3_client)["boto3"] = SimpleNamespace(session=SimpleNamespace(Session=lambda: shared))


@lru_cache(maxsize=64)
def _probe(bucket: str, arguments: tuple[str, ...]) -> None:
    """Ask for a bucket itself: Beam would try for seven minutes without a word."""
    from apache_beam.io.aws.clients.s3.boto3_client import Client
    from apache_beam.options.pipeline_options import PipelineOptions
    from botocore import exceptions

    name = f"s3://{bucket}"
    try:
        Client(PipelineOptions(list(arguments))).client.head_bucket(Bucket=bucket)
    except exceptions.ClientError as error:
        code = error.response["ResponseMetadata"]["HTTPStatusCode"]
        raise Unreachable(refusal(name, code)) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise Unreachable(
            f"{name}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
        ) from error
    except exceptions.BotoCoreError as error:
        raise Unreachable(
            f"{name} cannot be reached: {error}: check the network and AWS_ENDPOINT_URL"
        ) from error


def refusal(path: str, status: int | None) -> str:
    """What a status of HTTP means and what helps."""
    if status == 403:
        return f"{path}: no right: the store refuses these credentials (list, read and write)"
    if status == 404:
        return f"{path}: there is no such bucket: make it first, or mend its name"
    return f"{path}: the store answers with status {status}: try again later"


def status(error: BaseException) -> int | None:
    """The HTTP status in what Beam raises, or in what that was raised for."""
    found = getattr(error, "code", None)
    for cause in (getattr(error, "exception_details", None) or {}).values():
        found = found or getattr(cause, "code", None)
    return found if isinstance(found, int) else None


def upload(local_file: str, target: str, size: int) -> None:
    """Upload a whole file under its final name; Unreachable where it does not arrive.

    An object appears when its upload is complete, so there is no rename. Beam completes an upload
    even where it was broken off: what has arrived is compared in length, and sent again.
    """
    pause = PAUSE
    for attempt in range(ATTEMPTS):
        try:
            _send(local_file, target)
            if arrived(target, size):
                return
            problem: object = f"expected {size} bytes to arrive, found others"
        except Unreachable:
            raise
        except Exception as error:
            problem = error
            if (code := status(error)) in (403, 404):
                raise Unreachable(refusal(target, code)) from error
        if attempt + 1 < ATTEMPTS:
            time.sleep(pause)
            pause *= 2
    raise Unreachable(f"{target} cannot be stored: {problem}: the same command goes on from there")


def _send(local_file: str, target: str) -> None:
    import shutil
    from pathlib import Path

    with Path(local_file).open("rb") as source, filesystems(target).create(target) as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def size(path: str) -> int:
    """Length of an object in bytes; -1 where there is none."""
    found = filesystems(path)
    try:
        return int(found.get_filesystem(path).size(path))
    except Exception as error:
        code = status(error)
        if path.startswith("s3://") and code != 404:  # not to know is not to have none
            words = refusal(path, code) if code else f"{path} cannot be asked for: {error}"
            raise Unreachable(words) from error
        return -1


def arrived(path: str, length: int) -> bool:
    """Whether an object is seen in that length within LAG: some stores tell of it late."""
    end, pause = time.monotonic() + LAG, PAUSE
    while size(path) != length:
        if time.monotonic() > end:
            return False
        time.sleep(pause)
        pause *= 2
    return True
