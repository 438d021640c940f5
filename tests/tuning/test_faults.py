"""What Ray's account of an error tells of: the trial's own code, its process, its node, its GPU's memory."""

import pytest

from raytune_app.tuning.fault import Fault, fault_of, traceback_of

CODE = """Failure # 1 (occurred at 2026-11-21_08-33-02)
\x1b[36mray::ResourceTrainable.train()\x1b[39m (pid=21382, ip=192.0.2.2)
           ^^^^^^^^
  File "/venv/lib/python3.11/site-packages/ray/tune/trainable/trainable.py", line 326, in train
    result = self.step()
             ^^^^^^^^^^^
  File "/home/me/my_net.py", line 8, in forward
    raise RuntimeError('torn')
RuntimeError: torn
"""
DEAD = """Failure # 1 (occurred at 2026-11-21_08-33-02)
The actor died unexpectedly before finishing this task.
\tclass_name: ResourceTrainable
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR
"""
LOST = """Failure # 1 (occurred at 2026-11-21_08-33-02)
The actor died unexpectedly before finishing this task.
The actor is dead because its node has died. Node Id: 12ab
"""
MEMORY = CODE.replace("RuntimeError: torn", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")


@pytest.mark.parametrize(
    ("text", "fault"),
    [(CODE, Fault.CODE), (DEAD, Fault.PROCESS), (LOST, Fault.NODE), (MEMORY, Fault.GPU_MEMORY), ("", Fault.PROCESS)],
)
def test_each_account_is_understood(text: str, fault: Fault) -> None:
    assert fault_of(text) is fault


def test_the_users_own_frames_are_kept_and_no_other() -> None:
    assert traceback_of(CODE) == (
        "  File \"/home/me/my_net.py\", line 8, in forward\n    raise RuntimeError('torn')\nRuntimeError: torn"
    )


def test_without_a_users_frame_all_are_kept() -> None:
    assert "trainable.py" in traceback_of(CODE.replace("/home/me/", "/venv/lib/site-packages/"))
