"""Runs the pair's program against something that answers in the provider's place, and keeps what it declared.

The Pulumi SDK has a monitor for tests (``pulumi.runtime.Mocks``); it tells its mocks the inputs of a resource but
not what the resource depends on, and dependencies are half of what a program declares. The monitor here keeps them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import runpy
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import grpc
import pulumi
from pulumi.runtime import mocks, rpc, settings

from .stack_file import PROJECT_FOLDER, StackConfig


@dataclass(frozen=True)
class Declared:
    """One resource as the program declared it."""

    urn: str
    type: str
    #: The logical name; OpenStack's own is among the inputs.
    name: str
    parent: str
    inputs: dict[str, Any]
    #: URNs, those that a data edge carries and those from ``depends_on`` alike.
    dependencies: tuple[str, ...]
    #: Input → the URNs that its value comes from.
    property_dependencies: dict[str, tuple[str, ...]]
    custom: bool
    delete_before_replace: bool
    replace_on_changes: tuple[str, ...]
    #: Whatever it was given; None where there is none.
    replacement_trigger: Any
    secret_inputs: tuple[str, ...]
    secret_outputs: tuple[str, ...]


class Provider(Protocol):
    """Whatever answers in the place of OpenStack."""

    def look_up(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an invoke; a raised exception is the invoke's failure."""
        ...

    def create(self, declared: Declared) -> tuple[str, dict[str, Any]]:
        """Make a resource real; returns its id and its outputs (provider names, camelCase)."""
        ...


@dataclass(frozen=True)
class Outcome:
    #: In the order in which they were declared.
    resources: dict[str, Declared]
    outputs: dict[str, Any]
    secret_outputs: tuple[str, ...]


class _LookupFailed(grpc.RpcError):
    """A failed lookup as the engine hands it to the program: the SDK takes any other exception for its own fault."""

    def __init__(self, token: str, reason: Exception) -> None:
        super().__init__(str(reason))
        self._details = f"invocation of {token} returned an error: {reason}"

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return self._details


class _Mocks(mocks.Mocks):
    """The SDK's side: the monitor below calls the provider itself, for it knows more than these arguments."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.current: Declared | None = None

    def call(self, args: mocks.MockCallArgs) -> Any:
        try:
            return self.provider.look_up(args.token, cast(dict[str, Any], args.args))
        except grpc.RpcError:
            raise
        except Exception as error:
            raise _LookupFailed(args.token, error) from error

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        assert self.current is not None
        if not self.current.custom:
            return None, {}
        identifier, outputs = self.provider.create(self.current)
        return identifier, {**self.current.inputs, **outputs}


class RecordingMonitor(mocks.MockMonitor):
    """The SDK's test monitor, with a memory for everything that was declared."""

    def __init__(self, provider: Provider) -> None:
        self._own_mocks = _Mocks(provider)
        super().__init__(self._own_mocks)
        # Re-entrant: while the SDK serializes an answer its event loop may begin with the next resource.
        self._one_at_a_time = threading.RLock()
        self.declared: dict[str, Declared] = {}
        self.stack_outputs: dict[str, Any] = {}
        self.secret_stack_outputs: tuple[str, ...] = ()

    def RegisterResource(self, request: Any) -> Any:
        with self._one_at_a_time:
            if request.type != "pulumi:pulumi:Stack":
                declared = self._declared(request)
                self.declared[declared.urn] = declared
                self._own_mocks.current = declared
            return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if "::pulumi:pulumi:Stack::" in request.urn:
            outputs = rpc.deserialize_properties(request.outputs)
            self.secret_stack_outputs = _secrets_among(outputs)
            self.stack_outputs = _in_the_clear(outputs)
        return super().RegisterResourceOutputs(request)

    def _declared(self, request: Any) -> Declared:
        inputs = rpc.deserialize_properties(request.object)
        return Declared(
            urn=self.make_urn(request.parent, request.type, request.name),
            type=request.type,
            name=request.name,
            parent=request.parent,
            inputs=_in_the_clear(inputs),
            dependencies=tuple(sorted(request.dependencies)),
            property_dependencies={
                key: tuple(sorted(sources.urns)) for key, sources in request.propertyDependencies.items()
            },
            custom=bool(request.custom),
            delete_before_replace=bool(request.deleteBeforeReplace),
            replace_on_changes=tuple(request.replaceOnChanges),
            replacement_trigger=rpc.deserialize_property(request.replacement_trigger)
            if request.HasField("replacement_trigger")
            else None,
            secret_inputs=_secrets_among(inputs),
            secret_outputs=tuple(request.additionalSecretOutputs),
        )


def run_program(config: StackConfig, provider: Provider, program: Path | Callable[[], None] | None = None) -> Outcome:
    """Run ``__main__.py`` (or another program) as the engine would, and wait until everything is declared.

    :raises Exception: whatever the program or the provider raised.
    """
    monitor = RecordingMonitor(provider)
    # A loop of its own, so that one process can run several programs after each other.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_all_config(config.values, config.secret_keys)
    mocks.set_mocks(monitor.mocks, project=config.project, stack=config.stack, preview=False, monitor=monitor)
    # set_mocks makes a root stack where there is none; run_in_stack makes the one that the exports go to.
    ambient: Any = settings.SETTINGS
    ambient.rpc_manager.clear()
    ambient.outputs.clear()
    settings.ROOT.set(None)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # as the engine's own host: unread futures are no news

    def main() -> None:
        if callable(program):
            program()
        else:
            runpy.run_path(str(program or PROJECT_FOLDER / "__main__.py"), run_name="__main__")

    if str(PROJECT_FOLDER) not in sys.path:
        sys.path.insert(0, str(PROJECT_FOLDER))
    before = Path.cwd()
    os.chdir(PROJECT_FOLDER)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(main))
    finally:
        os.chdir(before)
        loop.close()
    return Outcome(monitor.declared, monitor.stack_outputs, monitor.secret_stack_outputs)


#: The SDK marks a secret by this entry in a dictionary; it gives the marker no public name.
_MARK: tuple[str, str] = (
    rpc._special_sig_key,  # pyright: ignore[reportPrivateUsage]
    rpc._special_secret_sig,  # pyright: ignore[reportPrivateUsage]
)


def _is_secret(value: object) -> bool:
    return isinstance(value, dict) and _MARK in cast(dict[str, object], value).items()


def _secrets_among(properties: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(key for key, value in properties.items() if _is_secret(value)))


def _in_the_clear(value: Any) -> Any:
    if _is_secret(value):
        return _in_the_clear(value["value"])
    if isinstance(value, dict):
        return {key: _in_the_clear(inner) for key, inner in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_in_the_clear(inner) for inner in cast(list[Any], value)]
    return value
