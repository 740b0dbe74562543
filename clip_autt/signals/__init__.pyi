"Voice and body signals beside the frames: recordings, features, fusion with the face."
