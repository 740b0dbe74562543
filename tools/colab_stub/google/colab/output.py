"""What the library may ask of Colab's page."""


def enable_custom_widget_manager(version: str = "5.0.0a") -> None:
    "Say that it was asked for, where a reader of the run can see it."
    print("google.colab: custom widget manager enabled")
