"""Writes the model card from what was measured."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.factory_line.camera import SOURCE_JPEG_QUALITY
from training.factory_line.labels import LABELS
from training.factory_line.measure import TensorFacts, accuracy
from training.factory_line.video import FPS, SCORED_VISIBLE

# From `PlacedPart.draw`: the span is twice the radius, and bolts are longer by an eighth.
PART_SPAN: Final = "a part spanning about 115 to 205 of the picture's 640 pixels"


@dataclass(frozen=True)
class Measured:
    """Everything the card reports.

    Attributes:
        model_bytes: size of `parts.tflite`.
        parameters: trained parameters of the network.
        input_facts: the picture's tensor.
        output_facts: the probabilities' tensor.
        inference_ms: median of one inference on one CPU thread.
        training_pictures: drawn pictures the network was trained on.
        training_views: how often each was seen through another codec path.
        epochs: passes over them.
        held_out: confusion matrix on pictures of other seeds, the host's decode path, (7, 7).
        held_out_antialiased: the same with anti-aliased resizing.
        video_bytes: size of `belt.mp4`.
        video_frames: its frames.
        video: confusion matrix on the scored frames, (7, 7).
    """

    model_bytes: int
    parameters: int
    input_facts: TensorFacts
    output_facts: TensorFacts
    inference_ms: float
    training_pictures: int
    training_views: int
    epochs: int
    held_out: NDArray[np.int64]
    held_out_antialiased: NDArray[np.int64]
    video_bytes: int
    video_frames: int
    video: NDArray[np.int64]


def model_card(measured: Measured) -> str:
    """The card as Markdown."""
    scored = int(measured.video.sum())
    return f"""# Model card: `parts.tflite`

Names the part on a conveyor belt. It is the model nearfield runs when you bring none, so that
the demo, the tests and the guides work on a fresh machine.

**Everything here is synthetic.** The pictures, the video and therefore the model's knowledge are
drawn by the scripts in `training/factory_line`. The model has never seen a photograph.

| | |
|---|---|
| Labels | {", ".join(f"`{label}`" for label in LABELS)}, in this order (`labels.txt`) |
| Held-out accuracy | {_percent(accuracy(measured.held_out))} of {measured.held_out.sum()} pictures |
| Agreement on `belt.mp4` | {_percent(accuracy(measured.video))} of {scored} scored frames |
| Size | {measured.model_bytes:,} bytes, {measured.parameters:,} trained parameters |
| Speed | {measured.inference_ms:.2f} ms median, one CPU thread of the build machine |
| Licence | Apache-2.0, as the project |

## Tensors

| tensor | name | shape | type | scale | zero point |
|---|---|---|---|---|---|
| input | {_tensor_row(measured.input_facts)} |
| output | {_tensor_row(measured.output_facts)} |

The input is the RGB picture, the whole 640x360 view squashed to 96x96: scale 1/255 and zero
point 0 mean that the decoded bytes are the tensor's bytes. The output is a softmax over the
labels in 1/256. Weights and activations are int8; only the two outer tensors are uint8.

## Purpose and limits

- Meant for: showing and testing the framework, from one camera to many frames per second.
- Not meant for: sorting real parts. Real metal, lenses and dirt look different; train on your own.
- Nuts and washers are the pair it confuses most, then parts of dark metal at the edge of the view.
- One part per picture. With several parts in view the answer is one of them, or wrong.
- A part of which less than about {SCORED_VISIBLE:.0%} is in view may be named anything.
- Seen from straight above, {PART_SPAN}. Other distances and viewpoints are untested.
- There is no "unknown": an object of another kind gets one of the seven labels.

## Data

{measured.training_pictures:,} drawn pictures of 640x360, each through
{measured.training_views} codec paths, then flipped, shifted and brightened at random. Parts are
reliefs shaded under a line lamp; belt, rails, metal, proportions, rotation, size, light, shadow,
defocus, motion blur and sensor noise vary. To 96x96 each goes the way it goes at run time:
H.264-like loss for about half, JPEG of quality 60 to 95, then mostly libjpeg-turbo's scaled
decode with a bilinear resize, corner to corner and without anti-aliasing, and for the rest other
resamplers. All seven labels are equally frequent.

## Network

Two 3x3 convolutions of stride 2 and four depthwise-separable blocks, each with batch
normalisation and ReLU6; global average; dense softmax. Trained for {measured.epochs} epochs with
AdamW, then quantised after training with calibration pictures from the training set.

## Held-out accuracy

Pictures from other seeds (other belts, lamps, parts), sharp and soft, JPEG quality 60 to 95, decoded
as the host decodes, answered by the exported int8 model under `ai-edge-litert`:
**{_percent(accuracy(measured.held_out))}**. With anti-aliased resizing instead:
{_percent(accuracy(measured.held_out_antialiased))}.

Rows are the right label, columns the model's answer.

{_matrix(measured.held_out)}

## Video

`belt.mp4`: H.264, 640x360, {FPS} frames per second, {measured.video_frames} frames,
{measured.video_bytes:,} bytes; loops without a jump. Each decoded frame, encoded again as JPEG of
quality {SOURCE_JPEG_QUALITY} as the video source does and decoded by the host's path:
**{_percent(accuracy(measured.video))}** of the scored frames get the right label.

{_matrix(measured.video)}

`truth.json` says what each frame shows. `frames` holds one object per frame, in order:

- `index`: the frame's number, from 0.
- `label`: the right answer, one of the labels; `empty` where no part is in view. `null` where the
  frame is not scored.
- `state`: `scored`, or `not scored` while a part enters or leaves: some of it is in view, but
  less than {SCORED_VISIBLE:.0%} of its area. That is {measured.video_frames - scored} of
  {measured.video_frames} frames.

Beside it stand `video`, `fps`, `size_wh`, `labels` and `scored_visible`, the share named above.

## Rebuild

From the repository's root, with the `training` extra installed:

```
python -m training.factory_line
```

Seeds are fixed: pictures and video are the same on every run, weights on the same machine and
versions. It takes about half an hour on two cores; `--quick` is a smoke run of one or two minutes
that writes elsewhere.
"""


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _tensor_row(facts: TensorFacts) -> str:
    shape = list(facts.shape)
    return f"`{facts.name}` | {shape} | {facts.dtype} | {facts.scale:.9g} | {facts.zero_point}"


def _matrix(counts: NDArray[np.int64]) -> str:
    head = "| | " + " | ".join(LABELS) + " |\n|---|" + "---:|" * len(LABELS)
    rows = [
        f"| **{label}** | " + " | ".join(str(count) for count in row) + " |"
        for label, row in zip(LABELS, counts, strict=True)
    ]
    return "\n".join([head, *rows])
