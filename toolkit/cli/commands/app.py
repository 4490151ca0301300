"""`toolkit app`: serve the app on this machine until interrupted."""

from __future__ import annotations

import http.client
import importlib
import signal
import socket
import subprocess
import time
from typing import Annotated, Final

import typer

from toolkit.cli.output import JsonFlag, new_app, notice, opened_toolkit, print_json
from toolkit.cli.spinner import status_line
from toolkit.errors import AppFailed, InvalidInput
from toolkit.local.detached_process import start_detached

app: typer.Typer = new_app("Serve the app on this machine until interrupted.")

DEFAULT_PORT: Final = 8501
_PORTS_TRIED: Final = 20
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_READY_S: Final = 60.0
_END_S: Final = 10.0


@app.command("app")
def serve_app(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address of this machine to listen on.")] = "127.0.0.1",
    as_json: JsonFlag = False,
) -> None:
    """Serve the app on this machine, by default on port 8501 or the next free one."""
    if host not in _LOOPBACK:
        raise InvalidInput(
            f"the app listens on this machine only, not on {host}",
            hint="To use it from another machine, open an SSH tunnel.",
        )
    chosen = _choose_port(host, port)
    url = f"http://{f'[{host}]' if ':' in host else host}:{chosen}"
    with opened_toolkit() as toolkit:
        was_running = toolkit.local.status() is not None
        _treat_ends_alike()
        child = start_detached(_command(host, chosen), stdout=subprocess.DEVNULL)
        try:
            _wait_until_ready(child, host, chosen)
            if as_json:
                print_json({"url": url, "port": chosen, "pid": child.pid})
            else:
                print(f"The app is at {url}", flush=True)
                notice("Press Ctrl-C to stop.")
            _wait(child)
        finally:
            _end(child)
            if not was_running and not toolkit.local.is_busy():
                toolkit.local.stop()


def _treat_ends_alike() -> None:
    """Stop the app on a closed terminal or a system shutdown as on Ctrl-C."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: signal.raise_signal(signal.SIGINT))


def _command(host: str, port: int) -> list[str]:
    # By name: the command line does not import the app.
    server = importlib.import_module("toolkit.ui.server")
    command: list[str] = server.serve_command(port)
    return [*command, f"--server.address={host}"]


def _choose_port(host: str, wanted: int | None) -> int:
    """The wanted port, or the first free one from 8501 on, or any.

    Raises:
        InvalidInput: the requested port is taken.
    """
    if wanted:
        if not _is_free(host, wanted):
            raise InvalidInput(
                f"port {wanted} is taken", hint="Leave out --port to use a free one."
            )
        return wanted
    nearby = () if wanted == 0 else range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)
    free = next((port for port in nearby if _is_free(host, port)), None)
    return free or _any_port(host)


def _is_free(host: str, port: int) -> bool:
    try:
        _listen(host, port).close()
    except OSError:
        return False
    return True


def _any_port(host: str) -> int:
    with _listen(host, 0) as probe:
        return int(probe.getsockname()[1])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _wait_until_ready(child: subprocess.Popen[bytes], host: str, port: int) -> None:
    begun = time.monotonic()
    with status_line() as progress:
        while not _answers(host, port):
            waited_s = time.monotonic() - begun
            if child.poll() is not None or waited_s > _READY_S:
                raise AppFailed("the app did not start", hint="See its output above.")
            progress(f"Starting the app, {waited_s:.1f} s")
            time.sleep(0.1)


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _wait(child: subprocess.Popen[bytes]) -> None:
    """Wait until the user or the system stops the app; report an unexpected exit."""
    try:
        code = child.wait()
    except KeyboardInterrupt:
        notice("\nStopping the app ...")
        return
    raise AppFailed(f"the app exited with code {code}", hint="See its output above.")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stop the app, and kill it if it does not exit."""
    for end in (child.terminate, child.kill):
        if child.poll() is None:
            end()
        try:
            child.wait(_END_S)
            return
        except subprocess.TimeoutExpired:
            continue
