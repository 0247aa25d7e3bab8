"""report.html and compare.html: pages made of the files that a run leaves in its folder, without TensorFlow."""
