"""Independent oracle for causes and page states; imports nothing of arenatrace."""
