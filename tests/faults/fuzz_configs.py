"""x"""

def trials(*a):
  return []
