"""Programs that go out with an exported model and depend on nothing of ours: an image file in, a mask file out."""
