"""The glue between models or kernels and files: one small file a codec; siblings never import each other."""
