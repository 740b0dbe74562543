"Voice and body signals beside the frames: recordings, features, fusion with the face."

from .fusion import (
    Concat as Concat, Fusion as Fusion, FusionName as FusionName, JCA as JCA, JMT as JMT,
    JointAttention as JointAttention, MeanLogits as MeanLogits, OneStream as OneStream, QUESTIONS as QUESTIONS,
    answers as answers, ccc_loss as ccc_loss, check_streams as check_streams, clip_answer as clip_answer,
    fit_fusion as fit_fusion, hide_streams as hide_streams, leak as leak, make_fusion as make_fusion,
    to_steps as to_steps, two_layers as two_layers,
)
