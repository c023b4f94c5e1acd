"""Engines that are opened when they are needed and closed together."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.configs.bundle import Bundle, Component, EngineRecord
from mixdq.configs.errors import MachineError, RequestError
from mixdq.configs.target import Target
from mixdq.runtime.engine import Engine, Network
from mixdq.runtime.onnx_engine import OnnxDevice, OnnxOpener
from mixdq.runtime.store import EngineStore


class FailingNetwork:
    """A network of ONNX Runtime, which fails when it is closed."""

    def __init__(self, network: Network, closed: list[str], name: str) -> None:
        self._network, self._closed, self._name = network, closed, name

    def engine(self, record: EngineRecord, profile: int) -> Engine:
        return self._network.engine(record, profile)

    def close(self) -> None:
        self._network.close()
        self._closed.append(self._name)
        raise MachineError(f"{self._name} does not close")


class FailingOpener:
    """Opens such networks, and keeps what was closed."""

    def __init__(self) -> None:
        self._opener = OnnxOpener(OnnxDevice.parse("cpu"), 1)
        self.closed: list[str] = []

    def check(self, record: EngineRecord) -> None:
        self._opener.check(record)

    def open(self, record: EngineRecord, path: Path, weights: tuple[Path, ...]) -> FailingNetwork:
        return FailingNetwork(self._opener.open(record, path, weights), self.closed, str(record.component))

    def close(self) -> None:
        self._opener.close()
        self.closed.append("opener")


def test_a_network_that_fails_to_close_leaves_no_other_open(tiny_bundle: Path) -> None:
    opener = FailingOpener()
    store = EngineStore(Bundle.read(tiny_bundle), tiny_bundle, Target.parse("cpu"), opener)
    for component in (Component.UNET, Component.VAE_DECODER):
        store(component, 16)
    with pytest.raises(MachineError, match="does not close"):
        store.close()
    assert sorted(opener.closed[:2]) == ["unet", "vae_decoder"]
    assert opener.closed[2:] == ["opener"]
    store.close()
    assert len(opener.closed) == 3
    with pytest.raises(RequestError, match="was closed"):
        store(Component.UNET, 16)
