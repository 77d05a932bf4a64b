"""Apache Kafka (KRaft): one node, broker and controller at once."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.services.errors import ServiceError
from scripts.services.packages import CONFIG, install_jars, jars_folder, java_17, run_quietly
from scripts.services.service import Server, ask

_CLUSTER = "b3Blbi1leGNoYW5nZS0wMA"  # cluster id: sixteen bytes in base64
_METADATA, _METADATA_VERSION = 3, 1
_HEADER_BYTES = 8


@dataclass(frozen=True)
class Kafka(Server):
    settings: Mapping[str, str] = field(default_factory=dict)
    """Additional settings, as in server.properties."""

    name = "kafka"
    default_port = 9092
    ports = 2  # clients', and the controller's
    start_limit_s = 120.0

    def install(self) -> None:
        install_jars(self.name)

    def command(self, folder: Path, port: int) -> list[str]:
        data = folder / "data"
        values = {"port": port, "second_port": port + 1, "data": data}
        config = self.fill("kafka/server.properties", folder, **values)
        with config.open("a") as more:  # the last line for a name is used
            more.writelines(f"{name}={value}\n" for name, value in self.settings.items())
        if not (data / "meta.properties").exists():
            make = ["format", "--cluster-id", _CLUSTER, "--config", str(config)]
            closing = run_quietly([*self._java("kafka.tools.StorageTool"), *make])
            if closing is not None:
                raise ServiceError(f"kafka: {data} could not be prepared; the tool's last lines:\n{closing}")
        return [*self._java("kafka.Kafka"), str(config)]

    def _java(self, program: str) -> list[str]:
        java, jars = java_17(), jars_folder(self.name)
        if not (java and jars.is_dir()):
            raise ServiceError("Kafka's jars or Java 17 are not installed; `make services` installs them")
        logging = f"-Dlog4j2.configurationFile={CONFIG / 'kafka' / 'log4j2.properties'}"
        return [java, f"@{CONFIG / 'kafka' / 'jvm.options'}", logging, "-cp", f"{jars}/*", program]

    def answers(self, port: int) -> bool:
        """Asks for the brokers: the list contains the node once it serves clients."""
        wish = struct.pack(">hhihi", _METADATA, _METADATA_VERSION, 1, -1, 0)  # no client name, no topics
        answer = ask(port, struct.pack(">i", len(wish)) + wish)
        brokers = answer[_HEADER_BYTES : _HEADER_BYTES + 4]
        return len(brokers) == 4 and struct.unpack(">i", brokers)[0] == 1
