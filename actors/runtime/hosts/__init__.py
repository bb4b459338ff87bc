"""What runs on the cluster: directory, controller, shards, projectors and settlement.

Plain classes that Ray turns into actors (`cluster.spawn`). Each one starts its work in its
constructor, so that an actor which Ray starts again after a death is at work without being called.
"""

from actors.runtime.hosts.controller import ControllerHost
from actors.runtime.hosts.directory import DirectoryHost
from actors.runtime.hosts.hosted import HostConfig, Hosted, ledgers_of, until_open
from actors.runtime.hosts.projector import ProjectorHost
from actors.runtime.hosts.settler import SettlerHost
from actors.runtime.hosts.shard import ShardHost

__all__ = [
    "ControllerHost",
    "DirectoryHost",
    "HostConfig",
    "Hosted",
    "ProjectorHost",
    "SettlerHost",
    "ShardHost",
    "ledgers_of",
    "until_open",
]
