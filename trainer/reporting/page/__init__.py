"""report.html and compare.html: pages made from the files in a run's folder, without TensorFlow."""
