"""The Compose files, checked without Docker: they load, contain no password and name existing settings."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from confluent_kafka.admin import AdminClient, NewTopic
from django.conf import settings

from matching.storage.input_logs import kafka_topic
from scripts.services import Running
from tests.matching.small_exchange import until

ROOT: Path = settings.BASE_DIR
FULL, EMBEDDED = "docker-compose.yml", "docker-compose.embedded.yml"
FILES: dict[str, dict[str, Any]] = {name: yaml.safe_load((ROOT / name).read_text()) for name in (FULL, EMBEDDED)}
SERVICES: dict[tuple[str, str], dict[str, Any]] = {
    (file, name): service for file, document in FILES.items() for name, service in document["services"].items()
}
PARTS = {key: service for key, service in SERVICES.items() if service["image"] == "open-exchange"}
"""Services that run this project's programs."""
JOBS = {"prepare", "scylla-roles", "topic"}
"""Services that end; others wait for them."""
WRITE_INTO_THEIR_IMAGE = {"scylla", "redpanda"}
"""Services whose images need more rights; the Compose file gives the reason."""
PUBLISHED = {
    (FULL, "web"): ["127.0.0.1:${WEB_PORT:-8000}:8000"],
    (FULL, "gateway"): ["127.0.0.1:${GATEWAY_PORT:-8080}:8080"],
    (FULL, "grafana"): ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
    (EMBEDDED, "web"): ["127.0.0.1:${WEB_PORT:-8000}:8000"],
    (EMBEDDED, "gateway"): ["127.0.0.1:${GATEWAY_PORT:-8080}:8080"],
}
NOT_SECRET = {
    *(
        "ALLOWED_HOSTS",
        "CSRF_TRUSTED_ORIGINS",
        "ENABLE_LOCAL_WAL",
        "GATEWAY_PORT",
        "GRAFANA_PORT",
        "WEB_HTTPS",
        "WEB_PORT",
    ),
}


def of_both(services: dict[tuple[str, str], dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("file", "name"), sorted(services), ids=lambda text: text.removesuffix(".yml"))


def test_the_full_file_has_every_server_and_program() -> None:
    assert set(FILES[FULL]["services"]) == {
        *("scylla", "scylla-roles", "redpanda", "topic", "postgres", "redis", "prometheus", "grafana"),
        *("prepare", "engine-1", "engine-2", "settlement", "gateway", "actions", "web", "worker", "beat", "demo"),
    }


def test_the_embedded_file_has_every_program_of_the_procfile_but_the_demo() -> None:
    programs = {"settlement", "engine", "gateway", "actions", "web", "worker"}
    assert set(FILES[EMBEDDED]["services"]) == {"prepare", *programs}


@of_both(PARTS)
def test_our_services_do_not_run_as_root(file: str, name: str) -> None:
    assert PARTS[file, name]["user"] == "10001:10001"


@of_both({key: value for key, value in SERVICES.items() if key[1] not in WRITE_INTO_THEIR_IMAGE})
def test_a_service_can_write_only_its_data(file: str, name: str) -> None:
    service = SERVICES[file, name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    binds = [volume for volume in service.get("volumes", []) if volume.startswith(".")]
    assert [volume for volume in binds if not volume.endswith(":ro")] == []


@of_both(SERVICES)
def test_no_service_can_gain_privileges(file: str, name: str) -> None:
    assert SERVICES[file, name]["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in SERVICES[file, name]


@of_both({key: value for key, value in SERVICES.items() if key[0] == FULL})
def test_every_service_has_a_memory_limit(file: str, name: str) -> None:
    assert re.fullmatch(r"\d+[mg]", SERVICES[file, name]["mem_limit"])


@of_both({key: value for key, value in SERVICES.items() if key[1] not in JOBS})
def test_every_long_running_service_has_a_health_check(file: str, name: str) -> None:
    assert SERVICES[file, name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@of_both({key: value for key, value in PARTS.items() if key[1] not in JOBS | {"demo"}})
def test_our_services_wait_for_the_tables(file: str, name: str) -> None:
    assert PARTS[file, name]["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}


@of_both({key: value for key, value in SERVICES.items() if key[1] in JOBS})
def test_a_job_runs_once(file: str, name: str) -> None:
    assert SERVICES[file, name]["restart"] == "no"


def test_only_the_back_office_the_gateway_and_grafana_are_published_and_on_loopback() -> None:
    assert {key: service["ports"] for key, service in SERVICES.items() if "ports" in service} == PUBLISHED


def test_only_published_services_have_an_outside_network() -> None:
    document = FILES[FULL]
    ways_out = {name for name, network in document["networks"].items() if not (network or {}).get("internal")}

    assert ways_out == {"front"}
    outside = {name for name, service in document["services"].items() if ways_out & set(service["networks"])}
    assert outside == {"web", "gateway", "grafana"}


def test_only_the_engines_reach_the_log() -> None:
    services = FILES[FULL]["services"]

    assert {name for name, service in services.items() if "log" in service["networks"]} == {
        *("redpanda", "topic", "engine-1", "engine-2"),
    }


@of_both(SERVICES)
def test_foreign_images_have_a_fixed_version(file: str, name: str) -> None:
    image = SERVICES[file, name]["image"]

    assert image == "open-exchange" or re.search(r":v?\d+\.\d+\.?\d*", image)


@of_both(PARTS)
def test_every_variable_is_a_setting(file: str, name: str) -> None:
    modules = (ROOT / "exchange_site" / "settings").glob("*.py")
    read = set(re.findall(r'env\.\w+\(\s*"(\w+)"', "".join(module.read_text() for module in modules)))

    assert set(PARTS[file, name]["environment"]) - read == set()


def test_the_engines_differ_only_in_sockets_and_folders() -> None:
    def without_number(name: str) -> Any:
        return yaml.safe_load(
            re.sub(r"engine-[12](?=-(blocks|retrans)|:)", "engine", yaml.safe_dump(FILES[FULL]["services"][name]))
        )

    one, other = without_number("engine-1"), without_number("engine-2")
    own = [engine["environment"].pop("ENGINE_COMMAND_ADDRESS") for engine in (one, other)]

    assert one == other
    assert one["environment"]["ENGINE_REPLICAS"] == ",".join(own)


def test_readers_have_the_addresses_of_both_engines() -> None:
    engines = FILES[FULL]["services"]
    replicas = [engines[name]["environment"]["ENGINE_COMMAND_ADDRESS"] for name in ("engine-1", "engine-2")]

    for name in ("settlement", "gateway", "actions", "web", "worker", "demo"):
        assert FILES[FULL]["services"][name]["environment"]["ENGINE_REPLICAS"] == ",".join(replicas)


def test_secrets_have_no_default() -> None:
    for file in FILES:
        text = (ROOT / file).read_text()
        with_default = set(re.findall(r"\$\{(\w+):-", text))
        assert with_default <= NOT_SECRET
        assert re.findall(r"(?i)(?:password|secret\w*): (?!\$\{\w+:\?|&|\*|$)(.*)", text) == []


def test_the_image_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert "USER 10001:10001" in lines
    assert sum(line.startswith("FROM ") for line in lines) == 2


# --- with what Docker Compose itself loads the file with ---------------------------------------------------------


@pytest.fixture(scope="session")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of scripts/compose_check, built."""
    if shutil.which("go") is None:
        reason = "go is not installed, and scripts/compose_check is written in it"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"{reason}; REQUIRE_SERVICES=1 forbids skipping", pytrace=False)
        pytest.skip(reason)
    program = tmp_path_factory.mktemp("compose-check") / "compose_check"
    subprocess.run(["go", "build", "-o", program, "."], cwd=ROOT / "scripts" / "compose_check", check=True)
    return program


def load(loader: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(loader), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": os.defpath}, timeout=30)


def test_compose_loads_the_full_file_with_what_make_env_writes(loader: Path, env_file: Path) -> None:
    loaded = load(loader, "--env", env_file, "--profile", "demo", ROOT / FULL)

    assert loaded.returncode == 0, loaded.stderr
    assert {line.split()[0] for line in loaded.stdout.splitlines()} == set(FILES[FULL]["services"])


def test_compose_loads_the_embedded_file(loader: Path, env_file: Path) -> None:
    loaded = load(loader, "--env", env_file, ROOT / EMBEDDED)

    assert loaded.returncode == 0, loaded.stderr
    assert {line.split()[0] for line in loaded.stdout.splitlines()} == set(FILES[EMBEDDED]["services"])


def test_a_missing_secret_names_the_script_that_creates_it(loader: Path, env_file: Path, tmp_path: Path) -> None:
    lines = env_file.read_text().splitlines()
    for left_out in lines:
        others = tmp_path / "others"
        others.write_text("\n".join(line for line in lines if line != left_out))
        loaded = load(loader, "--env", others, ROOT / FULL)

        assert loaded.returncode == 1
        name = left_out.partition("=")[0]
        assert f"required variable {name} is missing a value: run scripts/make_env.sh first" in loaded.stderr


# --- scripts/make_env.sh -----------------------------------------------------------------------------------------


def make_env(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(ROOT / "scripts" / "make_env.sh"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    file = tmp_path / "env"
    assert make_env(file).returncode == 0
    return file


def test_secrets_are_long_different_and_readable_by_their_owner_only(env_file: Path) -> None:
    secrets = dict(line.split("=") for line in env_file.read_text().splitlines())

    assert len(set(secrets.values())) == len(secrets) == 6
    assert {len(secret) for secret in secrets.values()} == {48}
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600


def test_an_existing_secrets_file_is_kept(env_file: Path) -> None:
    before = env_file.read_text()
    again = make_env(env_file)

    assert again.returncode == 2
    assert again.stderr == (
        f"make_env.sh: {env_file} is there already: keep it, or move it away to begin with new servers.\n"
    )
    assert env_file.read_text() == before


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    refused = make_env(tmp_path / "no" / "env")

    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "cannot be written" in refused.stderr


def test_the_secrets_file_is_ignored_by_git() -> None:
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


# --- deploy/redpanda/topic.sh ------------------------------------------------------------------------------------


@pytest.mark.services("kafka")
def test_the_engines_accept_the_created_topic(kafka: Running) -> None:
    """Tested on Kafka, which has all of these settings except the one that only Redpanda has."""
    script = (ROOT / "deploy" / "redpanda" / "topic.sh").read_text()
    wanted = dict(re.findall(r"--topic-config (\S+)=(\S+)", script))
    assert wanted.pop("write.caching") == "false"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    topic = NewTopic(f"compose-{uuid4()}", num_partitions=1, replication_factor=1, config=wanted)
    admin.create_topics([topic])[topic.topic].result(timeout=30)
    try:
        until(lambda: is_there(admin, topic.topic), "the topic")
        assert kafka_topic.find(kafka.address, topic.topic).name == topic.topic
    finally:
        admin.delete_topics([topic.topic])[topic.topic].result(timeout=30)


def is_there(admin: AdminClient, topic: str) -> bool:
    return topic in admin.list_topics(timeout=30).topics


# --- the image ---------------------------------------------------------------------------------------------------


def test_everything_that_the_dockerfile_copies_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert set(copied) == sent
