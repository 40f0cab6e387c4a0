"""Fetching: what an engine needs beside Python, from public registries into the user's cache.

For Flink: Beam's job server, a jar from Maven Central, and the distribution that the package
`apache-flink-libraries` holds on PyPI; for Spark the job server. Everything is checked by a hash
before it gets its name, so whatever has its name is whole.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import stores
from pipelines.records import RealEarError

CENTRAL = "https://repo1.maven.org/maven2"
TIMEOUT = 60.0  # seconds without a byte
FLINK = "1.19"  # the release line taken where nobody names one
DISTRIBUTIONS = {  # of apache-flink-libraries: patch release, SHA-256 of its sdist
    "1.19": ("1.19.3", "4a58e3a1fb7d83340bc96b6c080624c6d792d69fae5d294b96224775204a9c60"),
}
SPARK = "3"


@dataclass(frozen=True)
class Server:
    """A job server of Beam's: for which engine and release line, and of which Beam."""

    engine: str  # flink or spark
    line: str
    beam: str

    @property
    def library(self) -> str:
        """The artifact that holds the runner itself."""
        return f"beam-runners-{self.engine}-{self.line}"

    @property
    def jar(self) -> Path:
        """Where it lies once it has been fetched."""
        return cache() / f"{self.library}-job-server-{self.beam}.jar"

    @property
    def main(self) -> str:
        """The Java class that serves."""
        name = self.engine.capitalize()
        return f"org.apache.beam.runners.{self.engine}.{name}JobServerDriver"


def cache() -> Path:
    """The folder for what was fetched: `REALEAR_CACHE`, or realear in the user's own cache."""
    ours = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "realear").expanduser()
    return Path(os.environ.get("REALEAR_CACHE") or ours)


def beam() -> str:
    """The version of Beam installed here."""
    return importlib.metadata.version("apache-beam")


def distribution(line: str = FLINK) -> Path:
    """The folder of a Flink distribution, fetched or not."""
    return cache() / f"flink-{DISTRIBUTIONS[line][0]}" if line in DISTRIBUTIONS else cache() / line


def server(engine: str, line: str) -> Server | None:
    """The job server fetched for a release line: of our Beam, else of another; or none."""
    ours = Server(engine, line, beam())
    if ours.jar.is_file():
        return ours
    names = re.compile(rf"{re.escape(ours.library)}-job-server-(.+)\.jar")
    others = [found[1] for path in cache().glob("*.jar") if (found := names.fullmatch(path.name))]
    return Server(engine, line, max(others, key=_numbers)) if others else None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def fetch(engine: str, line: str = "", beam_version: str = "") -> list[Path]:
    """Get an engine's parts that are not in the cache yet; where all of them lie.

    RealEarError: an engine of which nothing is to be fetched, what a repository does not serve,
    bytes that are not those that were published.
    """
    if engine not in ("flink", "spark"):
        raise RealEarError(f"--fetch: expected flink or spark, found {engine!r}")
    line = line or {"flink": FLINK, "spark": SPARK}[engine]
    found = Server(engine, line, beam_version or beam())
    if not found.jar.is_file():
        _fetch_server(found)
    places = [found.jar]
    if engine == "flink" and line in DISTRIBUTIONS:
        if not distribution(line).is_dir():
            _fetch_distribution(line)
        places.append(distribution(line))
    return places


def _fetch_server(wanted: Server) -> None:
    """The job server as published; one of another Beam's may have to be put together."""
    name = f"{wanted.library}-job-server"
    url = f"{_central()}/org/apache/beam/{name}/{wanted.beam}/{name}-{wanted.beam}.jar"
    try:
        download(url, wanted.jar)
    except FileNotFoundError:
        served = _served(wanted.library)
        if wanted.beam not in served:
            raise RealEarError(_not_served(wanted, served)) from None
        _assemble(wanted)


def _central() -> str:
    """The Maven repository: `REALEAR_MAVEN`, such as a company's mirror, or Maven Central."""
    return (os.environ.get("REALEAR_MAVEN") or CENTRAL).rstrip("/")


def _not_served(wanted: Server, served: list[str]) -> str:
    text = f"{_central()} has no {wanted.library}-job-server of Beam {wanted.beam}: "
    if not served:
        return f"{text}say another repository by REALEAR_MAVEN"
    nearest = max((v for v in served if _numbers(v) <= _numbers(wanted.beam)), key=_numbers)
    return (
        f"{text}say another repository by REALEAR_MAVEN, or take one of another Beam "
        f"({', '.join(served)}), as `realear doctor --fetch {wanted.engine} --beam {nearest}`"
    )


def _served(artifact: str) -> list[str]:
    """The versions of an artifact of Beam's that the repository lists; none if it has none."""
    try:
        text = _read(f"{_central()}/org/apache/beam/{artifact}/maven-metadata.xml").decode()
    except FileNotFoundError:
        return []
    return re.findall(r"<version>([^<]+)</version>", text)


def download(url: str, target: Path) -> None:
    """A file into its place, once its hash is the one published beside it.

    FileNotFoundError: there is no such file. RealEarError: no answer, or other bytes.
    """
    with stores.partial(str(target)) as name:
        found = hashlib.sha1(usedforsecurity=False)
        with _open(url) as source, Path(name).open("wb") as file:
            while block := source.read(stores.BLOCK):
                found.update(block)
                file.write(block)
        expected = _read(f"{url}.sha1").decode("ascii", "replace").split()[0]
        if found.hexdigest() != expected:
            raise RealEarError(
                f"{url}: expected SHA-1 {expected}, found {found.hexdigest()}: try it again; if "
                "that does not help, the repository is not to be trusted"
            )


def _read(url: str) -> bytes:
    with _open(url) as source:
        content: bytes = source.read()
    return content


def _open(url: str) -> Any:
    try:
        return urllib.request.urlopen(url, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise FileNotFoundError(url) from error
        raise RealEarError(f"{url}: {error}") from error
    except OSError as error:
        raise RealEarError(f"{url}: {error}: is there a network?") from error


# Putting a job server together, where only its parts are served


def _assemble(wanted: Server) -> None:
    """One jar of a runner and all that it needs, by Maven, which checks every hash."""
    maven = shutil.which("mvn")
    if not maven:
        raise RealEarError(
            f"{wanted.library} of Beam {wanted.beam} has to be put together by Maven, found no "
            "mvn: install it (Debian: apt-get install maven)"
        )
    with tempfile.TemporaryDirectory(prefix="realear-") as folder:
        Path(folder, "pom.xml").write_text(_project(wanted))
        Path(folder, "settings.xml").write_text(_SETTINGS.format(url=_central()))
        words = ["-B", "-q", "-C", "-s", "settings.xml", "package"]
        ended = subprocess.run(
            [maven, *words], cwd=folder, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            lines = [line for line in ended.stdout.splitlines() if "ERROR" in line]
            raise RealEarError(f"mvn could not make {wanted.jar.name}: {' '.join(lines[:2])}")
        with stores.partial(str(wanted.jar)) as name:
            shutil.copyfile(f"{folder}/target/job-server-1.jar", name)


_SETTINGS = """<settings><mirrors><mirror><id>realear</id><mirrorOf>central</mirrorOf>
<url>{url}</url></mirror></mirrors></settings>
"""
_ALSO = {  # what the published job servers hold beside the runner: the engine itself, a log
    "flink": [("org.slf4j", "slf4j-simple", "1.7.30")],
    "spark": [
        ("org.apache.spark", f"spark-{part}_2.12", "3.5.3") for part in ("core", "sql", "streaming")
    ],
}
_DEPENDENCY = """<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>
<version>{version}</version></dependency>
"""
_PROJECT = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>realear</groupId><artifactId>job-server</artifactId><version>1</version>
<dependencies>
{dependencies}</dependencies>
<build><plugins><plugin>
<groupId>org.apache.maven.plugins</groupId><artifactId>maven-shade-plugin</artifactId>
<version>3.6.1</version>
<executions><execution><phase>package</phase><goals><goal>shade</goal></goals><configuration>
<createDependencyReducedPom>false</createDependencyReducedPom>
<filters><filter><artifact>*:*</artifact><excludes>
<exclude>META-INF/*.SF</exclude><exclude>META-INF/*.DSA</exclude><exclude>META-INF/*.RSA</exclude>
</excludes></filter></filters>
<transformers>
<transformer implementation="{shade}.ServicesResourceTransformer"/>
<transformer implementation="{shade}.AppendingTransformer"><resource>reference.conf</resource>
</transformer>
<transformer implementation="{shade}.ManifestResourceTransformer"><mainClass>{main}</mainClass>
</transformer>
</transformers></configuration></execution></executions>
</plugin></plugins></build>
</project>
"""


def _project(wanted: Server) -> str:
    """What Maven is to do, as its pom.xml: a runner, what it needs, and where its log goes."""
    needed = [("org.apache.beam", wanted.library, wanted.beam), *_ALSO[wanted.engine]]
    dependencies = "".join(
        _DEPENDENCY.format(group=group, artifact=artifact, version=version)
        for group, artifact, version in needed
    )
    shade = "org.apache.maven.plugins.shade.resource"
    return _PROJECT.format(dependencies=dependencies, shade=shade, main=wanted.main)


# Flink itself


def _fetch_distribution(line: str) -> None:
    """The jars of a Flink release, out of its package on PyPI, by pip as it is set up here."""
    release, expected = DISTRIBUTIONS[line]
    with tempfile.TemporaryDirectory(prefix="realear-") as folder:
        package = f"apache-flink-libraries=={release}"
        words = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", folder]
        ended = subprocess.run(
            [sys.executable, "-m", "pip", *words, package],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ended.returncode:
            raise RealEarError(f"pip could not get {package}: {ended.stderr.strip()[-400:]}")
        (archive,) = Path(folder).glob("*.tar.gz")
        found = stores.sha256(str(archive))
        if found != expected:
            raise RealEarError(f"{package}: expected SHA-256 {expected}, found {found}")
        _unpack(archive, distribution(line))


def _unpack(archive: Path, target: Path) -> None:
    """The distribution in a package's archive, as a folder that appears when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".flink-", dir=target.parent) as folder:
        with tarfile.open(archive) as tar:
            members = [m for m in tar.getmembers() if m.name.split("/")[1:2] == ["deps"]]
            tar.extractall(folder, members=members, filter="data")
        (top,) = Path(folder).iterdir()
        (top / "deps").rename(target)
