// Draws at most once in a frame, and not at all while the page is not visible.

export const inFrames = (draw) => {
  let isPlanned = false;
  return () => {
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      draw();
    });
  };
};
