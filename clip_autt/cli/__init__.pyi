"The command line."

from .course import (
    ONLINE as ONLINE, copy_tutorials as copy_tutorials, lab as lab, outside_code as outside_code, relink as relink,
    tutorial_files as tutorial_files,
)
from .data_commands import (
    JsonFile as JsonFile, Layout as Layout, NAMES as NAMES, Name as Name, Quiet as Quiet, StoreFolder as StoreFolder,
    check_command as check_command, check_name as check_name, datasets_app as datasets_app, deliver as deliver,
    info_command as info_command, is_manifest as is_manifest, make as make, open_data as open_data,
    open_store as open_store, protocol as protocol, prune_command as prune_command, stop as stop,
    store_app as store_app, template as template, verify_command as verify_command,
)
from .main import (
    BackboneName as BackboneName, Classes as Classes, Crop as Crop, Device as Device, Fps as Fps, Head as Head,
    Jobs as Jobs, Json as Json, MethodNames as MethodNames, Model as Model, Oracle as Oracle, Paths as Paths,
    Pretrained as Pretrained, Seed as Seed, Subjects as Subjects, Task as Task, app as app, caveats as caveats,
    checkup as checkup, demo as demo, doctor as doctor, evaluate_task as evaluate_task, load_model as load_model,
    personalize as personalize, predict as predict, train as train,
)
from .records import explanation_line as explanation_line, record as record, run as run, summary as summary
