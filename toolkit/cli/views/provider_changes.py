"""`toolkit providers add` and `update`: from options to one saved entry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.charts.numbers import duration
from toolkit.cli.output import (
    Column,
    JsonFlag,
    notice,
    opened_toolkit,
    print_json,
    show_facts,
    show_rows,
)
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from toolkit.providers.checks import ProbeResult
    from toolkit.providers.provider import Provider

Name = Annotated[str, typer.Argument(help="The provider's name.")]
TypeOption = Annotated[
    str | None, typer.Option("--type", help="API style; detected from the URL by default.")
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Base URL.")]
KeyEnvOption = Annotated[
    list[str] | None,
    typer.Option("--key-env", metavar="VAR", help="Environment variable with its key; repeatable."),
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="K=V", help="Extra header; K=- prompts for a secret value."),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--default-model", metavar="MODEL", help="Model to use when none is given."),
]
NameOption = Annotated[str | None, typer.Option("--display-name", help="Display name.")]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="K=V", help="Default model parameter; repeatable."),
]
SystemOption = Annotated[
    str | None, typer.Option("--system-prompt", help="System prompt for calls without one.")
]
TemplateOption = Annotated[
    str | None, typer.Option("--template", help="Template for user messages; contains {text}.")
]
InputOption = Annotated[
    int | None, typer.Option("--max-input-tokens", help="Maximum input tokens; 0: no limit.")
]
ForModelOption = Annotated[
    str | None,
    typer.Option(
        "--for-model",
        metavar="MODEL",
        help="Apply --param, --system-prompt, --template and --max-input-tokens to this model.",
    ),
]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", help="Deadline of a call, seconds.")
]
RetriesOption = Annotated[int | None, typer.Option("--max-retries", help="Maximum retries.")]
FirstWaitOption = Annotated[
    float | None, typer.Option("--retry-initial", help="First wait before a retry, seconds.")
]
LongestWaitOption = Annotated[
    float | None, typer.Option("--retry-max", help="Maximum wait before a retry, seconds.")
]
FactorOption = Annotated[float | None, typer.Option("--retry-factor", help="Backoff factor.")]
RpmOption = Annotated[int | None, typer.Option("--rpm", help="Requests per window; 0: no limit.")]
TpmOption = Annotated[int | None, typer.Option("--tpm", help="Tokens per window; 0: no limit.")]
WindowOption = Annotated[
    float | None, typer.Option("--rate-window", help="Length of that window, seconds.")
]
AutoSyncOption = Annotated[
    bool | None, typer.Option("--auto-sync/--no-auto-sync", help="List its models automatically.")
]
SyncOption = Annotated[
    float | None, typer.Option("--sync-interval", help="Seconds between automatic syncs.")
]
KeyFlag = Annotated[bool, typer.Option("--key", help="Prompt for a key, or read it from stdin.")]
VaultFlag = Annotated[bool, typer.Option("--vault", help="Keep keys in the encrypted vault.")]
NoTestFlag = Annotated[bool, typer.Option("--no-test", help="Save without the test.")]


def add_change_commands(app: typer.Typer) -> None:
    """Add both commands to `toolkit providers`."""
    app.command("add")(add_provider)
    app.command("update")(update_provider)


def add_provider(  # noqa: PLR0913, PLR0917 - one option per field
    name: Name,
    url: UrlOption = None,
    type_name: TypeOption = None,
    local: Annotated[
        bool, typer.Option("--local", help="The provider runs on this machine or network.")
    ] = False,
    key_env: KeyEnvOption = None,
    header: HeaderOption = None,
    default_model: ModelOption = None,
    display_name: NameOption = None,
    param: ParamOption = None,
    system_prompt: SystemOption = None,
    template: TemplateOption = None,
    max_input_tokens: InputOption = None,
    for_model: ForModelOption = None,
    timeout_s: TimeoutOption = None,
    max_retries: RetriesOption = None,
    retry_initial_s: FirstWaitOption = None,
    retry_max_s: LongestWaitOption = None,
    retry_factor: FactorOption = None,
    rpm: RpmOption = None,
    tpm: TpmOption = None,
    rate_window_s: WindowOption = None,
    auto_sync: AutoSyncOption = None,
    sync_interval_s: SyncOption = None,
    key: KeyFlag = False,
    vault: VaultFlag = False,
    no_test: NoTestFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Test a provider and save it. The name of a preset needs no URL."""
    fields = _given(
        locals(),
        *("display_name", "timeout_s", "max_retries", "retry_initial_s", "retry_max_s"),
        *("retry_factor", "rpm", "tpm", "rate_window_s", "auto_sync", "sync_interval_s"),
    )
    own = _model_settings(param, system_prompt, template, max_input_tokens)
    fields |= {"model_settings": {for_model: own}} if for_model and own else own
    if key_env:
        fields["key_env"] = tuple(key_env)
    with opened_toolkit() as toolkit:
        provider = toolkit.providers.add(
            name,
            base_url=url,
            type=type_name,
            api_key=_read_key(name) if key else None,
            local=local,
            headers=_read_headers(header),
            default_model=default_model,
            test=not no_test,
            key_store="vault" if vault else "keyring",
            on_test=None if as_json else show_checks,
            on_note=notice,
            **fields,
        )
        facts = provider.as_dict()
    if as_json:
        print_json(facts)
    else:
        tested = "tested" if provider.tested_at else "not tested"
        notice(f"Saved {provider.name} ({provider.base_url}, {provider.type}), {tested}.")


def update_provider(  # noqa: PLR0913, PLR0917 - one option per field
    name: Name,
    url: UrlOption = None,
    type_name: TypeOption = None,
    local: Annotated[
        bool | None,
        typer.Option(
            "--local/--cloud", help="The provider runs in the cloud, or on this machine or network."
        ),
    ] = None,
    key_env: KeyEnvOption = None,
    header: HeaderOption = None,
    no_header: Annotated[
        list[str] | None, typer.Option("--no-header", metavar="K", help="Remove a header.")
    ] = None,
    default_model: ModelOption = None,
    display_name: NameOption = None,
    param: ParamOption = None,
    system_prompt: SystemOption = None,
    template: TemplateOption = None,
    max_input_tokens: InputOption = None,
    for_model: ForModelOption = None,
    timeout_s: TimeoutOption = None,
    max_retries: RetriesOption = None,
    retry_initial_s: FirstWaitOption = None,
    retry_max_s: LongestWaitOption = None,
    retry_factor: FactorOption = None,
    rpm: RpmOption = None,
    tpm: TpmOption = None,
    rate_window_s: WindowOption = None,
    auto_sync: AutoSyncOption = None,
    sync_interval_s: SyncOption = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="FIELD", help="Reset a field to its default; repeatable."),
    ] = None,
    key: KeyFlag = False,
    vault: VaultFlag = False,
    no_test: NoTestFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Change a provider. A changed address or key is tested before it is saved."""
    changes: dict[str, Any] = dict.fromkeys(unset or ())
    changes |= _given(
        locals(),
        *("default_model", "display_name", "timeout_s", "max_retries", "retry_initial_s"),
        *("retry_max_s", "retry_factor", "rpm", "tpm", "rate_window_s", "auto_sync"),
        *("sync_interval_s",),
    )
    renamed = {"base_url": url, "type": type_name, "is_local": local}
    changes |= {field: value for field, value in renamed.items() if value is not None}
    if key_env:
        changes["key_env"] = tuple(key_env)
    own = _model_settings(param, system_prompt, template, max_input_tokens)
    with opened_toolkit() as toolkit:
        before = toolkit.providers.require(name)
        if for_model and own:
            models = {model: set_.as_dict() for model, set_ in before.model_settings.items()}
            merged = {**models.get(for_model, {}), **own}
            if "params" in own:
                merged["params"] = {**models.get(for_model, {}).get("params", {}), **own["params"]}
            changes["model_settings"] = {**models, for_model: merged}
        else:
            changes |= own
        provider = toolkit.providers.update(
            name,
            api_key=_read_key(name) if key else None,
            header_changes={**dict.fromkeys(no_header or ()), **_read_headers(header)},
            key_store="vault" if vault else "keyring",
            test=not no_test,
            on_test=None if as_json else show_checks,
            on_note=notice,
            **changes,
        )
        if provider.origin != before.origin and not key and provider.needs_key:
            notice(
                f"The address is now {provider.origin}; keys stored for {before.origin} are not "
                f"sent to it. Set its key with `toolkit keys set {name}`."
            )
        show_facts(provider.as_dict() if as_json else _brief(provider), as_json=as_json)


def _given(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those options of a command that were given."""
    return {name: values[name] for name in names if values[name] is not None}


def _model_settings(
    param: Sequence[str] | None,
    system_prompt: str | None,
    template: str | None,
    max_input_tokens: int | None,
) -> dict[str, Any]:
    """The options that apply to the provider, or with --for-model to one of its models."""
    found = {
        "params": _read_params(param) or None,
        "system_prompt": system_prompt,
        "prompt_template": template,
        "max_input_tokens": max_input_tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def show_checks(result: ProbeResult) -> None:
    """Print the four checks, then the models and how long the listing took."""
    from toolkit.providers.checks import QUESTIONS

    words = {"works": "yes", "refused": "NO", "could_not_check": "could not check"}
    rows = [
        {
            "question": QUESTIONS[check.question],
            "answer": words[check.answer],
            "reason": " ".join(filter(None, (check.reason.rstrip(".") + ".", check.hint))),
        }
        for check in result.checks
    ]
    columns = (Column("question", ""), Column("answer", "Answer"), Column("reason", "Because"))
    show_rows(rows, columns, as_json=False, title=result.provider)
    if result.models:
        some = ", ".join(result.models[:8])
        more = f", and {len(result.models) - 8} more" if len(result.models) > 8 else ""
        notice(f"Models: {some}{more}. Listed in {duration(result.latency_ms)}.")


def _brief(provider: Provider) -> dict[str, Any]:
    names = ("name", "type", "base_url", "default_model", "is_active", "tested_at")
    return {name: getattr(provider, name) for name in names}


def _read_key(name: str) -> str:
    from toolkit.keys.terminal import read_secret

    return read_secret(f"Key of {name}: ")


def _read_headers(pairs: Sequence[str] | None) -> dict[str, str]:
    from toolkit.keys.terminal import read_secret
    from toolkit.providers.headers import is_secret

    headers: dict[str, str] = {}
    for pair in pairs or ():
        name, separator, value = pair.partition("=")
        if not separator:
            raise InvalidInput(f"--header expects NAME=VALUE, not {pair[:40]!r}")
        if value == "-":
            value = read_secret(f"Value of the header {name}: ")
        elif is_secret(name, value):
            notice(
                f"The value of {name} is visible in your shell history and to other processes; "
                f"`--header {name}=-` prompts for it instead."
            )
        headers[name.strip()] = value
    return headers


def _read_params(pairs: Sequence[str] | None) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for pair in pairs or ():
        name, separator, text = pair.partition("=")
        if not separator or not name.strip():
            raise InvalidInput(f"--param expects NAME=VALUE, not {pair[:40]!r}")
        try:
            params[name.strip()] = json.loads(text)
        except ValueError:
            params[name.strip()] = text
    return params
