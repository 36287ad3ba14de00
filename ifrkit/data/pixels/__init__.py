"""What happens to pixels: resizing, distortion, normalisation, optical flow of two frames."""
