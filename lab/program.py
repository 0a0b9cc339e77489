"""Run the pair's program against a stand-in for the provider, and keep everything that it declares.

The Pulumi SDK's monitor for tests (``pulumi.runtime.Mocks``) gives its mocks the inputs of a resource, but not its
dependencies. The monitor here keeps both.
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
    #: URNs, from the inputs and from ``depends_on``.
    dependencies: tuple[str, ...]
    #: Input → the URNs of the resources whose outputs are in its value.
    property_dependencies: dict[str, tuple[str, ...]]
    custom: bool
    delete_before_replace: bool
    replace_on_changes: tuple[str, ...]
    ignore_changes: tuple[str, ...]
    #: A value of any type; None without a trigger.
    replacement_trigger: Any
    protect: bool
    #: The logical names that the resource had before.
    old_names: tuple[str, ...]
    secret_inputs: tuple[str, ...]
    secret_outputs: tuple[str, ...]


class Provider(Protocol):
    """The stand-in for OpenStack."""

    def look_up(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an invoke. An exception becomes the invoke's failure."""
        ...

    def create(self, declared: Declared) -> tuple[str, dict[str, Any]]:
        """Make a resource; return its id and its outputs, by the provider's names (camelCase)."""
        ...


@dataclass(frozen=True)
class Outcome:
    """Everything that a program declared."""

    #: URN → resource, in the order of their declaration.
    resources: dict[str, Declared]
    outputs: dict[str, Any]
    secret_outputs: tuple[str, ...]


class _LookupFailed(grpc.RpcError):
    """A failed lookup in the form that the engine gives it. For the SDK any other exception is a fault of its own."""

    def __init__(self, token: str, reason: Exception) -> None:
        super().__init__(str(reason))
        self._details = f"invocation of {token} returned an error: {reason}"

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return self._details


class _Mocks(mocks.Mocks):
    """The mocks of the SDK's monitor. They pass on the whole resource, which the monitor below keeps in ``current``."""

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
    """The SDK's monitor for tests, which also keeps everything that was declared."""

    def __init__(self, provider: Provider) -> None:
        """:param provider: makes the resources and answers the lookups."""
        self._own_mocks = _Mocks(provider)
        super().__init__(self._own_mocks)
        # Re-entrant, because the SDK's event loop may begin the next resource while it serializes an answer.
        self._one_at_a_time = threading.RLock()
        self.declared: dict[str, Declared] = {}
        self.stack_outputs: dict[str, Any] = {}
        self.secret_stack_outputs: tuple[str, ...] = ()

    def RegisterResource(self, request: Any) -> Any:
        """Keep a resource, and have the provider make it. Resources are made one at a time."""
        with self._one_at_a_time:
            if request.type != "pulumi:pulumi:Stack":
                declared = self._declared(request)
                self.declared[declared.urn] = declared
                self._own_mocks.current = declared
            return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        """Keep the stack's outputs; a component's outputs are not needed."""
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
            ignore_changes=tuple(request.ignoreChanges),
            replacement_trigger=rpc.deserialize_property(request.replacement_trigger)
            if request.HasField("replacement_trigger")
            else None,
            protect=request.protect,
            old_names=tuple(alias.spec.name for alias in request.aliases),
            secret_inputs=_secrets_among(inputs),
            secret_outputs=tuple(request.additionalSecretOutputs),
        )


def run_program(config: StackConfig, provider: Provider, program: Path | Callable[[], None] | None = None) -> Outcome:
    """Run ``__main__.py`` or another program as the engine would, and wait until it has declared everything.

    :raises Exception: every exception of the program or the provider, unchanged.
    """
    monitor = RecordingMonitor(provider)
    # A new loop for each run, so that one process can run several programs.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_all_config(config.values, config.secret_keys)
    mocks.set_mocks(monitor.mocks, project=config.project, stack=config.stack, preview=False, monitor=monitor)
    # set_mocks makes a root stack, but the exports go to the one that run_in_stack makes.
    ambient: Any = settings.SETTINGS
    ambient.rpc_manager.clear()
    ambient.outputs.clear()
    settings.ROOT.set(None)
    logging.getLogger("asyncio").setLevel(
        logging.CRITICAL
    )  # unread futures do not matter; the engine's own host hides them, too

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


#: The entry by which the SDK marks a dictionary as a secret. It has no public name.
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
