"""The network: built and trained in float, exported as a fully int8-quantised TFLite file."""

import logging
import math
import os
from collections.abc import Mapping

# Before TensorFlow is imported: it logs its build and its op orders to stderr otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # type: ignore[import-untyped]
import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]

from training.factory_line.camera import MODEL_WH
from training.factory_line.labels import LABELS
from training.factory_line.samples import Samples

logger = logging.getLogger(__name__)

BATCH = 64
LEARNING_RATE = 3e-3
# Output channels of the two plain convolutions, each of stride 2, that take 96x96 to 24x24.
STEM = (16, 32)
# Output channels and stride of the depthwise-separable blocks after them.
BLOCKS = ((64, 2), (64, 1), (128, 2), (128, 1))


def build_network() -> keras.Model:
    """Build the network: pixels 0 to 1, shape (n, 96, 96, 3), to label probabilities (n, 7)."""
    pixels = keras.Input((MODEL_WH[1], MODEL_WH[0], 3), name="pixels")
    x = pixels
    for channels in STEM:
        x = _normalised(keras.layers.Conv2D(channels, 3, 2, padding="same", use_bias=False)(x))
    for channels, stride in BLOCKS:
        x = _normalised(keras.layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x))
        x = _normalised(keras.layers.Conv2D(channels, 1, use_bias=False)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.15)(x)
    probabilities = keras.layers.Dense(len(LABELS), activation="softmax", name="label")(x)
    return keras.Model(pixels, probabilities)


def trained_parameters() -> int:
    """How many numbers training adjusts; batch normalisation's running statistics are not among them."""
    return sum(math.prod(weight.shape) for weight in build_network().trainable_weights)


def train(samples: Samples, epochs: int, seed: int) -> keras.Model:
    """Train a network on `samples`; the same seed on the same machine gives the same weights."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    network = build_network()
    steps_per_epoch = len(samples.labels) // BATCH
    steps = epochs * steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-4, steps, warmup_target=LEARNING_RATE, warmup_steps=max(1, steps // 20)
    )
    network.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-3),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.05),
        metrics=["accuracy"],
        jit_compile=False,
    )
    network.fit(
        _batches(samples, seed),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        verbose=0,
        callbacks=[_progress(epochs)],
    )
    return network


def export_int8(network: keras.Model, calibration: Samples) -> bytes:
    """Quantise weights and activations to int8, input and output tensors to uint8.

    The calibration pictures are stretched by a black and a white one, so that the input's scale is
    exactly 1/255 and its zero point 0: a picture's bytes are the tensor's bytes.
    """
    extremes = np.stack([np.zeros_like(calibration.pictures[0])] * 2)
    extremes[1] = 255
    pictures = np.concatenate([extremes, calibration.pictures])

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture[None].astype(np.float32) / 255] for picture in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    model: bytes = converter.convert()
    return model


def _progress(epochs: int) -> keras.callbacks.Callback:
    """One plain line per epoch."""

    def log_epoch(epoch: int, measured: Mapping[str, float]) -> None:
        line = "epoch %d of %d: loss %.4f, training accuracy %.4f"
        logger.info(line, epoch + 1, epochs, measured["loss"], measured["accuracy"])

    return keras.callbacks.LambdaCallback(on_epoch_end=log_epoch)


def _normalised(x: keras.KerasTensor) -> keras.KerasTensor:
    # ReLU6 bounds the activations, which keeps their int8 steps fine.
    return keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(momentum=0.95)(x))


def _batches(samples: Samples, seed: int) -> tf.data.Dataset:
    """Endless batches; the counter runs on, so each pass varies the samples anew."""
    count = len(samples.labels)
    pairs = tf.data.Dataset.from_tensor_slices((samples.pictures, samples.labels))
    batches = pairs.shuffle(count, seed).repeat().batch(BATCH)
    numbered = tf.data.Dataset.zip(tf.data.Dataset.counter(), batches)
    return numbered.map(lambda number, pair: _vary(number, pair[0], pair[1], seed)).prefetch(2)


def _vary(number: tf.Tensor, pictures: tf.Tensor, labels: tf.Tensor, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Flip, shift and relight a batch; `number` makes each batch draw its own.

    Each picture is flipped and relit by itself; the shift is the batch's, which is much cheaper.
    """
    key = tf.stack([number, tf.constant(seed, tf.int64)])
    each = (tf.shape(labels)[0], 1, 1, 1)
    x = tf.cast(pictures, tf.float32) / 255
    x = tf.where(tf.random.stateless_uniform(each, key + 1) < 0.5, x, tf.reverse(x, [2]))
    x = tf.where(tf.random.stateless_uniform(each, key + 2) < 0.5, x, tf.reverse(x, [1]))
    shift_yx = tf.random.stateless_uniform((2,), key + 3, 0, 7, tf.int32)
    x = tf.pad(x, [[0, 0], [3, 3], [3, 3], [0, 0]], "SYMMETRIC")
    x = x[:, shift_yx[0] : shift_yx[0] + MODEL_WH[1], shift_yx[1] : shift_yx[1] + MODEL_WH[0]]
    x = tf.ensure_shape(x, (None, MODEL_WH[1], MODEL_WH[0], 3))
    brightness = tf.random.stateless_uniform(each, key + 4, -0.08, 0.08)
    contrast = tf.random.stateless_uniform(each, key + 5, 0.8, 1.25)
    x = (x - 0.5) * contrast + 0.5 + brightness
    return tf.clip_by_value(x, 0, 1), tf.one_hot(labels, len(LABELS))
