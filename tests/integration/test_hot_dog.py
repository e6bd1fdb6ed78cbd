"""The original's example, step by step: its workflow file, four commands, a hot dog that becomes a cat."""

from __future__ import annotations

import pytest

from tests.processes import RECOGNISE, TESTDATA, Commands, Node, free_port

VIDEO = TESTDATA / "hot-dog.mp4"
MODEL = TESTDATA / "mobilenet_v1_0.75_192_quant.tflite"
LABELS = TESTDATA / "imagenet_labels.txt"

WORKFLOW = """\
name: Service
host: localhost
port: {port}
functions:
  - name: image-recognition
"""

# ImageNet numbers its 1,000 classes from 0; this model has one more before them, for the background.
BACKGROUND_CLASSES = 1
HOT_DOG = 934 + BACKGROUND_CLASSES
# Tabby, tiger cat, Persian, Siamese, Egyptian cat; then the wild ones, from cougar to cheetah.
HOUSE_CATS = range(281 + BACKGROUND_CLASSES, 286 + BACKGROUND_CLASSES)
SOME_CAT = range(281 + BACKGROUND_CLASSES, 294 + BACKGROUND_CLASSES)

# Every third of 300 pictures, at a pace that one slow core can follow.
PICTURES = 100
PACE = ["--every", "3", "--fps", "10"]
HALF = PICTURES // 2

AGREES_AT_LEAST = 0.9


@pytest.mark.video
def test_a_hot_dog_and_a_cat_are_recognised_through_the_original_s_steps(commands: Commands) -> None:
    missing = [path.name for path in (VIDEO, MODEL, LABELS) if not path.is_file()]
    if missing:
        pytest.skip(f"shared test data is not on this machine: {', '.join(missing)}")
    node = serve_original_workflow(commands)
    node.run(RECOGNISE, "--name", "image-recognition", "--observe", "0x10", "--model", MODEL, "--labels", LABELS)
    watch = node.watch("--tag", "0x11")

    send = node.send(VIDEO, "--tag", "0x10", *PACE)
    assert send.finish() == 0
    ended = send.event("ended")
    assert (ended["sent"], ended["truncated"], ended["corrupt_packets"]) == (PICTURES, False, 0)

    # Every frame has a result, or is counted with the reason why it has none.
    group = node.until_settled("image-recognition", PICTURES)
    assert group["received"] == PICTURES
    assert group["failed"] == {}
    watch.until(lambda: len(watch.frames) >= group["completed"], f"{group['completed']} results")
    assert len(watch.frames) == group["completed"] == PICTURES - sum(group["dropped"].values())

    results = {line["sequence"]: line["json"] for line in watch.frames}
    hot_dogs = [n for n in range(HALF) if n in results and results[n]["index"] == HOT_DOG]
    cats = [n for n in range(HALF, PICTURES) if n in results and results[n]["index"] in SOME_CAT]
    house_cats = [n for n in cats if results[n]["index"] in HOUSE_CATS]
    print(
        f"hot dog: {len(hot_dogs)} of {HALF}; cat: {len(cats)} of {HALF}, house cat: {len(house_cats)}; "
        f"dropped: {group['dropped'] or 'none'}; {group['handler_ms_mean']} ms in the sandbox"
    )
    assert len(hot_dogs) >= AGREES_AT_LEAST * HALF
    assert len(cats) >= AGREES_AT_LEAST * HALF
    assert results[hot_dogs[0]]["label"] == "hotdog, hot dog, red hot"
    assert all("cat" in results[n]["label"] for n in house_cats)


def serve_original_workflow(commands: Commands) -> Node:
    """The original's workflow file, with a port that is free here."""
    port = free_port()
    workflow = commands.folder / "workflow.yaml"
    workflow.write_text(WORKFLOW.format(port=port))
    return commands.serve(workflow, f"localhost:{port}")
