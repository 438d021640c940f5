from raytune_app.spec import Experiment
from raytune_app.storage import Storage
from raytune_app.tuning.folder import create_study
from raytune_app.tuning.mailbox import Command, Order, send, take


def test_commands_come_in_the_order_they_were_sent_and_once(storage: Storage, experiment: Experiment) -> None:
    folder = create_study(storage, experiment)
    sent = [Command(Order.STOP_TRIAL, "anna", trial) for trial in range(12)] + [Command(Order.STOP, "ben")]
    for command in sent:
        send(folder, command)
    assert take(folder) == sent
    assert take(folder) == []


def test_what_is_no_command_is_thrown_away(storage: Storage, experiment: Experiment) -> None:
    folder = create_study(storage, experiment)
    for number, text in enumerate(("", "[]", '{"order": "format", "by": "x", "trial": null}', '{"order": "stop"}')):
        storage.write(f"{folder.paths.commands}/{number}.json", text)
    send(folder, Command(Order.PAUSE, "ben"))
    assert take(folder) == [Command(Order.PAUSE, "ben")]
    assert storage.files(folder.paths.commands) == []
