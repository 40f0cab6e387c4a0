"""Zero-shot: classification by a model that was never told the classes, only how they are said."""

from __future__ import annotations

from pipelines.tasks.classification import Classification


class ZeroShot(Classification):
    """Text-audio models (`embed_audio` and `embed_text`) with prompts; see `pipelines.zeroshot`.

    What is stored and scored is a classification, so that closed-set classifiers stand beside them.
    """

    name = "zero-shot"
    method = "embed_audio"
