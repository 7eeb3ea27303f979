"""The mark of a hook's implementation; nothing else is imported for it."""

import pluggy

hookimpl = pluggy.HookimplMarker("piddm")
