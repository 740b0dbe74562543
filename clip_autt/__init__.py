"""Personalize vision-language models to one person at test time. Names are loaded on first use, so importing costs nothing."""

__version__ = "0.1.0"

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "au": ["AU", "AUBank", "DEFAULT_TEMPLATE", "TEMPLATES", "fill", "prototype", "pspi"],
        "autables": ["AUTable", "read_au_table"],
        "autt": ["ClipAUTT"],
        "backbone": ["Backbone", "load_backbone", "preprocess"],
        "baseline": ["Baseline", "relative"],
        "bah": ["BAH"],
        "biovid": ["BioVid"],
        "catalogue": ["check_data_set", "load_data_set"],
        "clip": ["Clip", "FrameFiles"],
        "dataset_facts": ["DataSet"],
        "datasets": ["Item", "Manifest", "read_manifest", "split_subjects"],
        "encoding": ["encode_manifest"],
        "errors": [
            "BackboneError", "BankError", "CheckpointError", "ClipAUTTError", "InputError",
            "ManifestError", "NoFaceError", "UntrainedError", "VideoError",
        ],
        "explain": ["Explanation", "agreement"],
        "face": ["FaceBox", "crop_face"],
        "features": ["LabeledVideo", "VideoFeatures", "encode", "encode_clip", "encode_video"],
        "metrics": ["auc_per_au", "macro_f1", "paired_bootstrap", "uar", "war"],
        "model": ["ClipAU", "Output"],
        "own_clips": ["check_manifest", "from_folder", "from_manifest", "manifest_template"],
        "people": ["Nuisance", "Shift", "Subject", "render"],
        "personal": ["PersonalBaseline", "personal_autt", "prepare_personal"],
        "portrait": ["moving_portrait", "portrait"],
        "primitives": ["entropy", "marginal_entropy"],
        "prompts": ["AUPrompts", "ReleasedPrompts"],
        "protocol": ["run_protocol"],
        "registry": ["METHODS", "make_method"],
        "rehearsal": ["make_tree"],
        "report": ["report_picture", "write_report"],
        "results": ["Adapted", "Prediction", "Window"],
        "scores": ["Results", "combine"],
        "shift": ["person_shift"],
        "store": ["FeatureStore"],
        "stream": ["OnlineMethod", "SourceOnly", "Stream", "TestTimeMethod"],
        "stressid": ["StressID"],
        "synth": ["SOURCE", "TARGET", "TASKS", "make_clip", "make_clips"],
        "temporal": ["TemporalConv", "score_windows"],
        "train": ["History", "fit"],
        "video": ["iter_frames", "read_video", "sample_frames", "write_video"],
        "viz": ["plot_au_change", "plot_aus", "plot_confusion", "plot_entropy", "plot_film", "plot_similarity", "plot_tsne"],
    },
)
